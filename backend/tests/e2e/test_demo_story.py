"""The first minute: the demo from the empty state to its verdict, reloaded in the middle, in two tabs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from e2e.browser import (
    RUN_TIMEOUT_MS,
    chip,
    picture,
    plotted_steps,
    wait_for_another_picture,
    wait_for_step,
    wait_for_verdict,
)
from e2e.studio_process import StudioProcess

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]

NUM_STEPS = 60


@pytest.fixture(scope="module")
def outgoing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outgoing") / "hosts.txt"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, outgoing: Path) -> Iterator[StudioProcess]:
    """This one story is all as it is for a person, the run's interpreter included; and it is listened to."""
    with StudioProcess(tmp_path_factory.mktemp("studio"), warm=False, outgoing=outgoing) as process:
        yield process


def in_short(page: Page, studio: StudioProcess) -> None:
    """The demo that is asked for is as it is, but shorter: fewer steps, one learning rate for the baseline to choose
    from, fewer questions. What it teaches is not this story's subject, and would take most of its time."""
    demo = page.request.get(f"{studio.url}/api/config/schema").json()["demo"]
    demo["max_steps"] = NUM_STEPS
    demo["baseline"]["learning_rates"] = [1e-3]
    demo["evaluation"]["max_prompts"] = 48

    def shorten(route: Route) -> None:
        asked = route.request.post_data_json
        assert asked["demo"] is True
        route.continue_(post_data=json.dumps({**asked, "demo": False, "config": demo}))

    page.route("**/api/opd/start", shorten)


def test_demo_from_the_empty_state_to_the_verdict(page: Page, studio: StudioProcess, outgoing: Path) -> None:
    in_short(page, studio)

    # One press in the empty state starts it.
    expect(page.get_by_role("heading", level=1)).to_have_text("Teach a small model what a better one knows")
    page.get_by_role("button", name="Run the 60-second demo").click()
    page.wait_for_url(re.compile(r"/opd/\d{8}-"))
    expect(chip(page, "Running")).to_be_visible(timeout=RUN_TIMEOUT_MS)

    # The configuration on the left is the run's own, and locked.
    expect(page.get_by_text("A run's settings cannot change")).to_be_visible()
    expect(page.get_by_role("textbox", name="Steps")).to_have_count(0)

    # The curves move.
    wait_for_step(page, 5)
    first = picture(page)
    wait_for_step(page, 15)
    wait_for_another_picture(page, first)

    # A reload in the middle changes nothing: every step is there, once.
    page.reload()
    reached = wait_for_step(page, 20)
    steps = plotted_steps(page)
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) >= reached

    # A second tab sees the same run without being told where it is.
    other = page.context.new_page()
    other.goto(page.url.split("/opd")[0])
    wait_for_step(other, reached)
    assert other.url == page.url
    other.close()

    # Who watched gets the verdict, who comes back gets the same, and both have all points.
    headline = wait_for_verdict(page)
    other = page.context.new_page()
    other.goto(page.url)
    assert headline == wait_for_verdict(other)
    for tab in (page, other):
        assert plotted_steps(tab) == list(range(1, NUM_STEPS + 1))
    for subject in ("Before", "SFT baseline", "After", "Teacher"):
        expect(page.get_by_role("figure", name="Exact match").get_by_text(subject, exact=True)).to_be_visible()
    # The comparison is explained, not left to look like a failed attempt.
    expect(page.get_by_text("The SFT baseline is a comparison")).to_be_visible()

    # The report opens, and the run is in the list.
    with page.context.expect_page() as opening:
        page.get_by_role("link", name="HTML").click()
    assert opening.value.locator("body").inner_text().strip() != ""
    page.get_by_role("link", name="Runs").click()
    row = page.get_by_role("row").filter(has_text=f"{NUM_STEPS} / {NUM_STEPS}")
    expect(row.get_by_text("Done")).to_be_visible()

    # Nobody was asked anything: no telemetry, of any library, and no model that is not there.
    noted = outgoing.read_text("utf-8").splitlines()
    assert any("-m opd.pipeline " in line for line in noted), "the run itself was listened to"
    assert [line for line in noted if not line.startswith("began ")] == []
