"""Pictures of every page in both themes, idle, running and finished. Only `make screenshots` runs this.

Real runs in a fresh studio, one of them with a paid teacher: a provider on loopback that knows the task. WebP, written
by the browser itself, into $OPD_SCREENSHOTS_DIR. Look at them.
"""

from __future__ import annotations

import base64
import os
import platform
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from e2e.browser import RUN_TIMEOUT_MS, chip, wait_for_step, wait_for_verdict
from e2e.studio_process import StudioProcess
from fake_provider import FakeProvider
from fake_provider.expert import ExpertBrain

pytestmark = [pytest.mark.screenshots, pytest.mark.timeout(3600)]

QUALITY = 0.72
SIZE = {"width": 1360, "height": 850}
TO_WEBP = """async ([png, quality]) => {
    const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob());
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.width, image.height];
    canvas.getContext('2d').drawImage(image, 0, 0);
    return canvas.toDataURL('image/webp', quality).split(',')[1];
}"""

START = """async (changes) => {
    const { demo } = await (await fetch('/api/config/schema')).json();
    const config = { ...demo, ...changes, baseline: { ...demo.baseline, enabled: false } };
    const headers = { 'x-opd': '1', 'content-type': 'application/json' };
    const body = JSON.stringify({ request_id: 'screenshots-' + config.seed, config });
    const answer = await fetch('/api/opd/start', { method: 'POST', headers, body });
    if (!answer.ok) throw new Error(await answer.text());
    return (await answer.json()).run_id;
}"""
SECOND = {"name": "Another seed, half the steps", "seed": 5, "max_steps": 100}
TOO_FAST = {"name": "A learning rate that is too high", "seed": 6, "max_steps": 1000, "learning_rate": 0.3}
MISPLACED = {"name": "A model that was moved", "seed": 7, "student": {"model": "~/models/my-student"}}
PAID = {
    "name": "Marked by a paid teacher",
    "seed": 8,
    "max_steps": 60,
    "objective": {"type": "mark", "drafts": 128, "refresh_every": 20},
    "expansion": {"num_prompts": 60},
    "budget_usd": 0.02,
}


@pytest.fixture(scope="module")
def folder() -> Path:
    path = Path(os.environ.get("OPD_SCREENSHOTS_DIR", "screenshots"))
    path.mkdir(parents=True, exist_ok=True)
    return path


# Where this checkout and this machine are is nobody's business.
HIDE_PLACES = """([folder, platform]) => {
    const texts = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const node = texts.currentNode;
        node.data = node.data.replaceAll(folder, '~/.opd-studio').replaceAll(platform, 'Linux');
    }
}"""


def take(page: Page, folder: Path, name: str) -> None:
    """The page as it is, in both themes; the encoder is a blank page, free of the studio's policy."""
    encoder = page.context.new_page()
    page.bring_to_front()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
        page.evaluate("document.fonts.ready")
        # Charts read the theme's colours a frame after it changes.
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        png = page.screenshot(type="png", animations="disabled", caret="hide")
        webp = encoder.evaluate(TO_WEBP, [base64.b64encode(png).decode(), QUALITY])
        (folder / f"{name}-{scheme}.webp").write_bytes(base64.b64decode(webp))
    encoder.close()


def visit(page: Page, address: str, ready: str) -> None:
    """Open an address and wait until a text of its content is there and nothing is on its way."""
    page.goto(address)
    page.get_by_role("main").get_by_text(ready).first.wait_for()
    page.wait_for_load_state("networkidle")


# Address and a text that is there once the page is complete.
PAGES = {
    "runs": ("/runs", "Run"),
    "datasets": ("/datasets", "First prompts"),
    "teachers": ("/teachers", "On this machine"),
    "settings": ("/settings", "Packages"),
}


def take_pages(page: Page, studio: StudioProcess, folder: Path, state: str) -> None:
    for name, (path, ready) in PAGES.items():
        visit(page, studio.url + path, ready)
        page.evaluate(HIDE_PLACES, [str(studio.folder), platform.platform()])
        take(page, folder, f"{name}-{state}")
    for link in page.get_by_role("navigation").get_by_role("link").all():
        path = link.get_attribute("href") or "/"
        name = path.strip("/")
        if path != "/" and name not in PAGES:
            visit(page, studio.url + path, link.inner_text().strip())
            take(page, folder, f"{name}-{state}")
            page.goto(f"{studio.url}/settings")


def start(page: Page, studio: StudioProcess, changes: dict[str, Any]) -> str:
    """Begin a run that differs from the demo by this and follow it; its id."""
    run_id: str = page.evaluate(START, changes)
    page.goto(f"{studio.url}/opd/{run_id}")
    return run_id


def take_paid(page: Page, studio: StudioProcess, folder: Path) -> str:
    """A paid teacher's run until its cap, with the cap raised to its end, and what it has cost; its id."""
    with FakeProvider(ExpertBrain()) as provider:
        teacher = {
            "type": "chat", "model": "local/expert", "base_url": f"{provider.url}/v1",
            "input_usd_per_million": 0.15, "output_usd_per_million": 0.6,
        }  # fmt: skip
        run_id = start(page, studio, {**PAID, "teacher": teacher})
        expect(chip(page, "Paused")).to_be_visible(timeout=RUN_TIMEOUT_MS)
        take(page, folder, "distil-paused")
        page.get_by_role("textbox", name="New cap in US dollars").fill("1")
        page.get_by_role("button", name="Raise the cap and resume").click()
        expect(chip(page, "Done")).to_be_visible(timeout=RUN_TIMEOUT_MS)
    visit(page, f"{studio.url}/costs", "Marked drafts")
    take(page, folder, "costs-finished")
    return run_id


def take_export(page: Page, studio: StudioProcess, folder: Path, run_id: str) -> None:
    """The finished run's model as GGUF, with its proof opened."""
    page.goto(f"{studio.url}/opd/{run_id}")
    page.get_by_role("radiogroup", name="Form").get_by_text("GGUF").click()
    page.get_by_role("button", name="Export as GGUF").click()
    path = page.get_by_test_id("export-path")
    expect(path).to_be_visible(timeout=RUN_TIMEOUT_MS)
    page.get_by_role("button", name=re.compile("Read back and compared")).click()
    expect(page.get_by_text("equal bit for bit")).to_be_visible()
    path.scroll_into_view_if_needed()
    page.evaluate(HIDE_PLACES, [str(studio.folder), platform.platform()])
    take(page, folder, "export-finished")


def take_playground(page: Page, studio: StudioProcess, folder: Path, run_id: str) -> None:
    """The three models of a finished run, asked a held-out prompt."""
    visit(page, f"{studio.url}/runs/{run_id}/chat", "The models are not loaded")
    take(page, folder, "playground-idle")
    page.get_by_role("button", name="Load the models").click()
    expect(page.get_by_role("listitem").filter(has_text="Ready")).to_have_count(3, timeout=RUN_TIMEOUT_MS)
    page.get_by_label("Your question").fill("Sales 29, growth 15. New sales?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_text("per second")).to_have_count(3, timeout=RUN_TIMEOUT_MS)
    take(page, folder, "playground-finished")
    page.get_by_role("button", name="Let the models go").click()


def test_every_page_in_three_states(page: Page, studio: StudioProcess, folder: Path) -> None:
    page.set_viewport_size(SIZE)
    page.get_by_role("button", name="No, thanks").click()
    page.get_by_role("button", name="Use the example dataset").click()
    expect(page.get_by_text("held out for the verdict")).to_be_visible()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_enabled(timeout=RUN_TIMEOUT_MS)
    take(page, folder, "distil-idle")
    take_pages(page, studio, folder, "idle")

    visit(page, f"{studio.url}/opd", "Run the 60-second demo")
    page.get_by_role("button", name="Run the 60-second demo").click()
    page.wait_for_url(re.compile(r"/opd/\d{8}-"))
    address, run_id = page.url, page.url.rsplit("/", 1)[1]
    wait_for_step(page, 40)
    take(page, folder, "distil-running")
    take_pages(page, studio, folder, "running")
    visit(page, f"{studio.url}/runs/{run_id}", "Configuration")
    page.get_by_role("tab", name="Answers").click()
    page.get_by_text("Answers to held-out prompts").wait_for()
    take(page, folder, "run-running")

    page.goto(address)
    wait_for_verdict(page)
    take(page, folder, "distil-finished")
    page.keyboard.press("Control+k")
    page.get_by_role("dialog").wait_for()
    take(page, folder, "palette")
    page.keyboard.press("Escape")
    take_pages(page, studio, folder, "finished")
    visit(page, f"{studio.url}/runs/{run_id}", "Configuration")
    page.get_by_role("tab", name="Answers").click()
    page.get_by_text("Answers to held-out prompts").wait_for()
    take(page, folder, "run-finished")
    take_playground(page, studio, folder, run_id)
    take_export(page, studio, folder, run_id)
    visit(page, f"{studio.url}/datasets?id=demo-arithmetic", "First prompts")
    page.get_by_text("As the model reads them").click()
    page.get_by_text("the student writes from here").first.wait_for()
    take(page, folder, "datasets-tokens")

    # Others to compare with: the same start, another seed and half the steps; a teacher that is paid.
    second = start(page, studio, SECOND)
    expect(chip(page, "Done")).to_be_visible(timeout=RUN_TIMEOUT_MS)
    paid = take_paid(page, studio, folder)
    visit(page, f"{studio.url}/runs/compare?ids={run_id},{second},{paid}", "Settings that differ")
    take(page, folder, "compare-finished")

    # One that goes wrong, stopped as its alarm advises, and one that cannot begin.
    start(page, studio, TOO_FAST)
    stop = page.get_by_role("log").get_by_role("button", name="Stop and save").first
    expect(stop).to_be_visible(timeout=RUN_TIMEOUT_MS)
    take(page, folder, "distil-alarm")
    stop.click()
    expect(chip(page, "Stopped")).to_be_visible(timeout=RUN_TIMEOUT_MS)
    take(page, folder, "distil-stopped")
    start(page, studio, MISPLACED)
    expect(chip(page, "Failed")).to_be_visible(timeout=RUN_TIMEOUT_MS)
    take(page, folder, "distil-failed")
    visit(page, f"{studio.url}/runs", "Failed")
    take(page, folder, "runs-finished")
