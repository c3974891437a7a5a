"""A run that goes wrong: the alarm says what, why and what to do, and does it at a click."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from e2e.browser import RUN_TIMEOUT_MS, chip, wait_for_step
from e2e.test_run_stories import start_own_run

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]

# A hundred times what this student can bear: it forgets how to write within a few steps.
RATE = "0.3"


def test_an_alarm_is_raised_and_its_advice_applied(page: Page) -> None:
    page.get_by_label("Learning rate", exact=True).first.fill(RATE)
    start_own_run(page, steps=2000)
    wait_for_step(page, 1)
    alarms = page.get_by_role("log")
    slower = alarms.get_by_role("button", name="New run at 1e-1").first
    expect(slower).to_be_visible(timeout=RUN_TIMEOUT_MS)
    expect(alarms.get_by_role("button", name="Stop and save").first).to_be_visible()
    bad = page.url
    slower.click()

    # The bad run is saved and stopped; its settings stand in a new one, with a third of the learning rate.
    page.wait_for_url(re.compile(r"/opd$"))
    expect(page.get_by_label("Learning rate", exact=True).first).to_have_value("0.1")
    page.goto(bad)
    expect(chip(page, "Stopped")).to_be_visible(timeout=RUN_TIMEOUT_MS)
    expect(page.get_by_text(re.compile(r"Goes on from the checkpoint of step \d+"))).to_be_visible()
