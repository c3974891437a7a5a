"""A real studio in a process of its own, and a real browser that looks at it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

import opd
from e2e.browser import launch
from e2e.studio_process import StudioProcess

_stories = ExitStack()
_browsers: list[Browser] = []


@pytest.fixture(scope="module")
def browser() -> Browser:
    """Chromium, headless; the one of the modules before, if they were stories too."""
    if not _browsers:
        _browsers.append(launch(_stories.enter_context(sync_playwright())))
        _stories.callback(lambda: _browsers.pop().close())
    return _browsers[0]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Closes the browser after the last story: while Playwright is open no other test can run an event loop."""
    yield
    if nextitem is None or nextitem.path.parent != item.path.parent:
        _stories.close()


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioProcess]:
    """`opd studio` of an empty data folder, as a person starts it; its runs end with it.

    Its runs are warm.
    """
    if not (Path(opd.__file__).parent / "ui" / "index.html").is_file():
        pytest.fail("The pages are not built: run `make build` (or `npm run build` in frontend/).")
    with StudioProcess(tmp_path_factory.mktemp("studio")) as process:
        yield process


@pytest.fixture
def page(browser: Browser, studio: StudioProcess) -> Iterator[Page]:
    """A page of the studio with a session and nothing else kept: the first was opened through the printed address.

    A script error fails the test.
    """
    if not studio.cookies:
        with browser.new_context() as first:
            first.new_page().goto(studio.fresh_address())
            first.pages[0].get_by_role("navigation").wait_for()
            studio.cookies = first.cookies()
    context = browser.new_context(
        viewport={"width": 1440, "height": 900},
        reduced_motion="reduce",
        storage_state={"cookies": studio.cookies, "origins": []},  # type: ignore[typeddict-item]  # what it gave comes back
    )
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.set_default_timeout(60_000)
    opened.goto(studio.url)
    opened.get_by_role("navigation").wait_for()
    yield opened
    context.close()
    assert errors == []
