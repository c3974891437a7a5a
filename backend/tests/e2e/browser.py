"""The browser for the tests, and what every story does with it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, Playwright, expect

import devkit.browser

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
AXE = Path(__file__).resolve().parents[3] / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
# A run on a loaded machine: only something that hangs gets here.
RUN_TIMEOUT_MS = 600_000


def launch(playwright: Playwright) -> Browser:
    """The Chromium that `make test` would choose, else Playwright's own."""
    return playwright.chromium.launch(executable_path=devkit.browser.find(os.environ), args=FLAGS)


def chip(page: Page, state: str) -> Locator:
    """The run's state in the head of the run column."""
    return page.locator("header [data-state]").get_by_text(state, exact=True)


def wait_for_step(page: Page, step: int) -> int:
    """Wait until the run has logged a step; answers the step it is at."""
    page.wait_for_function(
        """(wanted) => {
            const text = document.querySelector('[data-testid="step"]')?.textContent ?? '';
            return Number(text.replace(/,/g, '').match(/Step (\\d+)/)?.[1] ?? 0) >= wanted;
        }""",
        arg=step,
        timeout=RUN_TIMEOUT_MS,
        polling=100,  # by default it asks before every frame, and so has every frame painted
    )
    found = re.search(r"Step ([\d,]+)", page.get_by_test_id("step").inner_text())
    assert found is not None
    return int(found[1].replace(",", ""))


def wait_for_verdict(page: Page) -> str:
    """Wait for the end of a run that ends well; answers the headline."""
    headline = page.get_by_test_id("headline")
    headline.wait_for(timeout=RUN_TIMEOUT_MS)
    expect(chip(page, "Done")).to_be_visible(timeout=RUN_TIMEOUT_MS)
    return headline.inner_text()


def plotted_steps(page: Page, chart: str = "Loss") -> list[int]:
    """The steps behind a chart, as its table of numbers shows them."""
    page.get_by_role("button", name=f"More for {chart}").click()
    page.get_by_role("menuitem", name="Show the numbers").click()
    dialog = page.get_by_role("dialog", name=chart)
    dialog.get_by_role("row").nth(1).wait_for()
    cells: list[str] = dialog.locator("tbody tr td:first-child").all_inner_texts()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    return [int(cell.replace(",", "")) for cell in cells]


def picture(page: Page, chart: str = "Loss") -> str:
    """What a chart's canvas shows now."""
    found: str = page.get_by_role("figure", name=chart).locator("canvas").evaluate("canvas => canvas.toDataURL()")
    return found


def wait_for_another_picture(page: Page, shown: str, chart: str = "Loss") -> None:
    """Wait until a chart has been drawn anew; it is drawn once a frame, not once a step."""
    canvas = page.get_by_role("figure", name=chart).locator("canvas").element_handle()
    assert canvas is not None
    page.wait_for_function("([canvas, shown]) => canvas.toDataURL() !== shown", arg=[canvas, shown], polling=100)


def choose_model(page: Page, role: str, label: str) -> None:
    """Open the picker of teacher or student and choose a model of this machine."""
    page.get_by_role("button", name=re.compile(f"^{role}: ")).click()
    page.get_by_role("option", name=re.compile(label)).first.click()


def set_number(page: Page, label: str, value: float) -> None:
    """Type into a number field of the recipe."""
    field = page.get_by_role("textbox", name=label, exact=True)
    field.fill(str(value))
    field.blur()


COLOUR_RULES = ("color-contrast", "link-in-text-block")
"""What a theme can break; all other rules are about what both themes have in common."""


def serious_violations(page: Page, rules: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """What axe finds on the page as it is, serious and critical only; by all its rules, or by some."""
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(AXE.read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = page.evaluate(
        """async (only) => (await axe.run(document, { resultTypes: ['violations'], ...only })).violations
            .filter((item) => ['serious', 'critical'].includes(item.impact))
            .map((item) => ({ id: item.id, help: item.help, where: item.nodes.slice(0, 5).map((node) =>
                node.target.join(' ') + ': ' + (node.any[0]?.message ?? node.failureSummary)) }))""",
        {"runOnly": list(rules)} if rules else {},
    )
    return found
