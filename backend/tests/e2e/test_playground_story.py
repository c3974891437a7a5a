"""A finished run talked to: three models answer the same question, one is stopped, text stays text."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from e2e.browser import RUN_TIMEOUT_MS, serious_violations
from e2e.finished_run import studio_with_a_finished_run
from e2e.studio_process import StudioProcess

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

HOSTILE = "<img src=x onerror=\"document.title='owned'\"> 2+3?"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioProcess]:
    with studio_with_a_finished_run(tmp_path_factory.mktemp("studio")) as process:
        yield process


def test_the_student_is_asked_beside_its_start_and_its_teacher(page: Page, studio: StudioProcess) -> None:
    (run_path,) = (studio.folder / "runs").iterdir()
    page.goto(f"{studio.url}/opd/{run_path.name}")
    page.get_by_role("link", name="Talk to it").click()
    expect(page.get_by_text("The models are not loaded")).to_be_visible()
    page.get_by_role("button", name="Load the models").click()
    expect(page.get_by_role("listitem").filter(has_text="Ready")).to_have_count(3, timeout=RUN_TIMEOUT_MS)

    # As the run sampled, and as long as it let the student write.
    expect(page.get_by_label("Temperature")).to_have_value("1")
    expect(page.get_by_label("Longest answer")).to_have_value("8")
    question = page.get_by_label("Your question")
    question.fill(HOSTILE)
    question.press("Enter")
    log = page.get_by_role("log", name="Conversation")
    for who in ("Before", "After", "Teacher"):
        expect(log.get_by_label(who)).to_contain_text(re.compile(r"[1-8] tokens? · "), timeout=RUN_TIMEOUT_MS)
    expect(log).to_contain_text(HOSTILE)
    assert page.title() == "OPD Studio"
    assert page.locator("main img").count() == 0

    # A long answer is stopped in the middle, and what was said stays.
    for label, value in (("Longest answer", "900"), ("Temperature", "2")):
        page.get_by_label(label).fill(value)
    question.fill("Go on.")
    page.get_by_role("button", name="Ask", exact=True).click()
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(log.get_by_text("stopped").first).to_be_visible(timeout=RUN_TIMEOUT_MS)
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_visible(timeout=RUN_TIMEOUT_MS)

    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        assert serious_violations(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0

    page.get_by_role("button", name="Let the models go").click()
    expect(page.get_by_text("The models are not loaded")).to_be_visible(timeout=RUN_TIMEOUT_MS)
