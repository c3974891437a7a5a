"""The page itself: keyboard alone, narrow screens, assistive technology, other people's text, no session."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from e2e.browser import COLOUR_RULES, serious_violations
from e2e.studio_process import StudioProcess
from seeded_run import make_run

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

# Charts read the theme's colours a frame after it changes, and controls pass from one colour to another.
UNTIL_COLOURS_STAND = """async () => {
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const passing = document.getAnimations().filter((one) => one.effect.getComputedTiming().endTime !== Infinity);
    await Promise.allSettled(passing.map((one) => one.finished));
}"""

ADDRESSES = {
    "new run": "/opd",
    "finished run": "/opd/seeded",
    "runs": "/runs",
    "record of a run": "/runs/seeded",
    "playground": "/runs/seeded/chat",
    "comparison": "/runs/compare?ids=seeded,second",
    "datasets": "/datasets",
    "tour": "/opd?tour",
    "teachers": "/teachers",
    "settings": "/settings",
}


def open_copying(page: Page) -> None:
    page.get_by_role("button", name="Use the example dataset").click()
    page.get_by_role("button", name="Copy as").click()


def open_numbers(page: Page) -> None:
    page.get_by_role("button", name="More for Loss").click()
    page.get_by_role("menuitem", name="Show the numbers").click()


# What opens above a page: where, what is there then, and how.
OVERLAYS: dict[str, tuple[str, str, Callable[[Page], None]]] = {
    "commands": ("/runs", "dialog", lambda page: page.keyboard.press("Control+k")),
    "keys": ("/runs", "dialog", lambda page: page.keyboard.press("?")),
    "deleting a run": (
        "/runs",
        "dialog",
        lambda page: page.get_by_role("button", name=re.compile("^Delete")).first.click(),
    ),
    "a chart's menu": ("/opd/seeded", "menu", lambda page: page.get_by_role("button", name="More for Loss").click()),
    "a chart's numbers": ("/opd/seeded", "dialog", open_numbers),
    "choosing a model": ("/opd", "listbox", lambda page: page.get_by_role("button", name="Teacher: ").click()),
    "settings from YAML": ("/opd", "dialog", lambda page: page.get_by_role("button", name="Load from YAML").click()),
    "putting a key": (
        "/teachers",
        "dialog",
        lambda page: page.get_by_role("button", name="Add the key of").first.click(),
    ),
    "copying the settings": ("/opd", "menu", open_copying),
}


@pytest.fixture(scope="module", autouse=True)
def finished_runs(studio: StudioProcess) -> None:
    """Two runs that are over, without the minutes that real ones take."""
    make_run(studio.folder, "seeded", num_steps=120).end("done", step=120)
    make_run(studio.folder, "second", seed=1, num_steps=80).end("done", step=80)


def test_no_serious_accessibility_issue_on_any_page_in_either_theme(page: Page, studio: StudioProcess) -> None:
    # Whatever has its link in the navigation is a page, also one that nobody listed here.
    links = [link.get_attribute("href") or "/" for link in page.get_by_role("navigation").get_by_role("link").all()]
    addresses = {**ADDRESSES, **{path: path for path in links if path not in ("/", *ADDRESSES.values())}}
    found = {}

    def look(name: str) -> None:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            page.evaluate(UNTIL_COLOURS_STAND)
            if violations := serious_violations(page, COLOUR_RULES if scheme == "dark" else None):
                found[f"{name}, {scheme}"] = violations

    for name, address in addresses.items():
        page.goto(studio.url + address)
        page.get_by_role("main").get_by_role("heading").first.wait_for()
        page.wait_for_load_state("networkidle")
        look(name)
    page.goto(f"{studio.url}/datasets")
    page.get_by_text("As the model reads them").click()
    page.get_by_text("the student writes from here").first.wait_for()
    look("datasets as the model reads them")
    for name, (address, role, open_it) in OVERLAYS.items():
        if page.url != studio.url + address:
            page.goto(studio.url + address)
            page.wait_for_load_state("networkidle")
        open_it(page)
        opened = page.get_by_role(role).first  # type: ignore[arg-type]  # any text to the table above, a list of roles to Playwright
        opened.wait_for()
        look(name)
        page.keyboard.press("Escape")
        opened.wait_for(state="hidden")
    assert found == {}, list(found.items())


def test_keyboard_alone_reaches_everything(page: Page) -> None:
    # The first Tab offers a way past the navigation.
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()

    # The palette goes anywhere.
    page.keyboard.press("Control+k")
    expect(page.get_by_placeholder("Where to, or what to do?")).to_be_focused()
    page.keyboard.type("settings")
    expect(page.locator(".mantine-Spotlight-action[data-selected]")).to_have_text("Settings")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="Settings")).to_be_visible()

    # Letters do, too, and the list of them is one key away.
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keyboard")
    expect(keys).to_be_visible()
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    page.keyboard.press("g")
    page.keyboard.press("r")
    expect(page.get_by_role("heading", level=1, name="Runs")).to_be_visible()

    # A chart is read with the arrow keys, which say what they find.
    page.get_by_role("link", name="Tiny learns sums <seeded>").focus()
    page.keyboard.press("Enter")
    chart = page.get_by_role("figure", name="Loss", exact=True)
    chart.get_by_role("application").focus()
    page.keyboard.press("Home")
    expect(chart.locator("[aria-live]")).to_contain_text("step 1:")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(chart.locator("[aria-live]")).to_contain_text("step 12:")

    # Columns are widened with the arrow keys, and the width is still there after a reload.
    divider = page.get_by_role("separator").first
    divider.focus()
    before = page.locator("[data-column=setup]").bounding_box()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert before is not None
    page.wait_for_function(
        "(width) => document.querySelector('[data-column=setup]').getBoundingClientRect().width > width",
        arg=before["width"],
    )
    after = page.locator("[data-column=setup]").bounding_box()
    assert after is not None
    page.reload()
    page.get_by_role("figure", name="Loss", exact=True).wait_for()
    kept = page.locator("[data-column=setup]").bounding_box()
    assert kept is not None
    assert kept["width"] == pytest.approx(after["width"], abs=2)


def test_narrow_screens_get_tabs_and_nothing_sticks_out(page: Page, studio: StudioProcess) -> None:
    for width in (1024, 700, 360):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(f"{studio.url}/opd/seeded")
        tabs = page.get_by_role("tablist")
        tabs.get_by_role("tab", name="Verdict").click()
        expect(page.get_by_test_id("headline")).to_be_visible()
        tabs.get_by_role("tab", name="Setup").click()
        expect(page.get_by_text("A run's settings cannot change")).to_be_visible()
        tabs.get_by_role("tab", name="Run", exact=True).click()
        page.get_by_role("figure", name="Loss", exact=True).wait_for()
        overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert overflow <= 0, f"the page is {overflow} px wider than a {width} px window"


def test_model_text_is_text_and_nothing_is_asked_of_other_hosts(page: Page, studio: StudioProcess) -> None:
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    page.goto(f"{studio.url}/opd/seeded")
    page.get_by_text("Answers to held-out prompts").wait_for()
    # One of the seeded run's answers tries to run scripts, load pictures and link to javascript:.
    scrubber = page.get_by_role("slider", name="Step")
    scrubber.press("Home")
    while page.locator("pre").filter(has_text="<script>").count() == 0:
        assert scrubber.get_attribute("aria-valuenow") != scrubber.get_attribute("aria-valuemax")
        scrubber.press("ArrowRight")
    expect(page.locator("pre").filter(has_text="<script>").first).to_be_visible()
    assert page.title() == "OPD Studio"
    assert page.locator("main img, main a[href^='javascript']").count() == 0
    assert hosts == {studio.url.removeprefix("http://")}


def test_a_page_without_a_session_shows_nothing_but_what_to_do(browser: Browser, studio: StudioProcess) -> None:
    context = browser.new_context()
    stranger = context.new_page()
    stranger.goto(f"{studio.url}/runs")
    expect(stranger.get_by_text("This page needs the address that opd studio printed")).to_be_visible()
    assert stranger.get_by_role("navigation").count() == 0
    context.close()
