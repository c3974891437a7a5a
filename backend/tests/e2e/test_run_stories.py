"""A run of one's own: set up in the form, stopped and saved, resumed, with the studio killed under it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from e2e.browser import (
    RUN_TIMEOUT_MS,
    chip,
    choose_model,
    plotted_steps,
    serious_violations,
    set_number,
    wait_for_step,
)
from e2e.studio_process import StudioProcess
from opd.demo.bundled import data_path

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]

NUM_STEPS = 60


def start_own_run(page: Page, *, steps: int) -> None:
    """Teacher, student, a dropped file and a short recipe; then Start."""
    page.get_by_label("Drop a JSONL file here, or").set_input_files(data_path("train"))
    choose_model(page, "Teacher", "Demo teacher")
    choose_model(page, "Student", "Demo student")
    expect(page.get_by_text("held out for the verdict")).to_be_visible()
    set_number(page, "Steps", steps)
    set_number(page, "Batch size", 4)
    set_number(page, "Completion limit", 24)
    start = page.get_by_role("button", name="Start", exact=True)
    expect(start).to_be_enabled(timeout=RUN_TIMEOUT_MS)
    start.click()
    page.wait_for_url(re.compile(r"/opd/\d{8}-"))


def test_four_clicks_to_a_running_run_which_holds_the_device_until_it_is_discarded(page: Page) -> None:
    page.evaluate("window.clicks = 0; document.addEventListener('click', () => { window.clicks += 1 }, true)")
    page.get_by_role("button", name="Use the example dataset").click()
    expect(page.get_by_role("button", name="Teacher: Demo teacher")).to_be_visible()
    start = page.get_by_role("button", name="Start", exact=True)
    expect(start).to_be_enabled(timeout=RUN_TIMEOUT_MS)
    start.click()
    page.wait_for_url(re.compile(r"/opd/\d{8}-"))
    expect(chip(page, "Running")).to_be_visible(timeout=RUN_TIMEOUT_MS)
    assert page.evaluate("window.clicks") <= 4
    expect(page.get_by_text("on_policy_prompts.jsonl")).to_be_visible()

    # A second start names it.
    address = page.url
    page.get_by_role("link", name="Runs").click()
    page.get_by_role("link", name="New run").click()
    expect(page.get_by_text("A run is at work on this device")).to_be_visible()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_disabled()
    page.get_by_role("button", name="Run the 60-second demo").click()
    page.get_by_role("alert").get_by_role("link", name="Open it").click()
    page.wait_for_url(address)

    # Discarding asks first.
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("menuitem", name="Discard").wait_for()
    assert serious_violations(page) == []
    page.get_by_role("menuitem", name="Discard").click()
    dialog = page.get_by_role("dialog", name="Discard this run?")
    dialog.get_by_role("button", name="Keep it running").click()
    expect(dialog).to_be_hidden()
    expect(chip(page, "Running")).to_be_visible()
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("menuitem", name="Discard").click()
    dialog.get_by_role("button", name="Discard the run").click()
    expect(chip(page, "Stopped")).to_be_visible(timeout=RUN_TIMEOUT_MS)

    # And it can be deleted, after a question.
    page.get_by_role("link", name="Runs").click()
    rows = page.get_by_role("row").filter(has_text="Stopped")
    rows.get_by_role("button", name=re.compile("^Delete ")).click()
    page.get_by_role("button", name="Delete the run").click()
    expect(rows).to_have_count(0)


def test_stop_and_save_then_resume_to_the_end(page: Page, studio: StudioProcess) -> None:
    start_own_run(page, steps=NUM_STEPS)
    wait_for_step(page, 10)
    page.get_by_role("button", name="Stop and save").click()
    expect(chip(page, "Stopped")).to_be_visible(timeout=RUN_TIMEOUT_MS)

    # What was saved is named, and can be gone on from.
    saved = page.get_by_text(re.compile(r"Goes on from the checkpoint of step \d+"))
    expect(saved).to_be_visible()
    stopped_at = int(re.findall(r"\d+", saved.inner_text())[0])
    assert 10 <= stopped_at < NUM_STEPS
    assert plotted_steps(page) == list(range(1, stopped_at + 1))

    page.get_by_role("button", name="Resume").click()
    expect(chip(page, "Running")).to_be_visible(timeout=RUN_TIMEOUT_MS)
    wait_for_step(page, stopped_at + 5)

    # The studio dies in the middle of it. The page says so, keeps what it shows, and goes on when the studio is back.
    studio.kill()
    expect(page.get_by_text("The studio does not answer")).to_be_visible()
    expect(page.get_by_test_id("step")).to_be_visible()
    studio.start()
    expect(page.get_by_text("The studio does not answer")).to_be_hidden(timeout=RUN_TIMEOUT_MS)

    expect(chip(page, "Done")).to_be_visible(timeout=RUN_TIMEOUT_MS)
    assert plotted_steps(page) == list(range(1, NUM_STEPS + 1))
    expect(page.get_by_text(f"Resumed from step {stopped_at}")).to_be_visible()
    page.reload()
    expect(chip(page, "Done")).to_be_visible()
    assert plotted_steps(page) == list(range(1, NUM_STEPS + 1))


def test_a_bad_dataset_is_refused_line_by_line_and_its_corrected_form_is_taken(page: Page, tmp_path: Path) -> None:
    good = '{"messages": [{"role": "user", "content": "Cash after a payment?"}]}'
    bad = tmp_path / "prompts.jsonl"
    bad.write_text(f'{good}\n{{"messages": [{{"role": "user"}}]}}\nnot json\n', encoding="utf-8")
    chooser = page.get_by_label("Drop a JSONL file here, or")
    chooser.set_input_files(bad)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("prompts.jsonl has 2 lines to correct")
    expect(alert).to_contain_text("Line 2")
    expect(alert).to_contain_text("Line 3")

    bad.write_text(f"{good}\n{good.replace('Cash', 'Debt')}\n", encoding="utf-8")
    chooser.set_input_files(bad)
    expect(alert).to_have_count(0)
    expect(page.get_by_text("1 for training, 1 held out for the verdict")).to_be_visible()
    page.get_by_role("link", name="Datasets").click()
    page.get_by_role("button", name=re.compile(r"^prompts")).click()
    expect(page.get_by_text("Debt after a payment?")).to_be_visible()
