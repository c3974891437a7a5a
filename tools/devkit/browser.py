"""Finds or installs the Chromium that the browser tests drive.

In: `OPD_BROWSER`, PATH, the places where systems keep browsers. Out: the path of a program. The headless shell goes
before the full browser, of which it is the engine without the windows: stories take three quarters of the processor
time with it.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from devkit import stamps
from devkit.console import StepFailedError, say, skipped, step
from devkit.environment import PYTHON, variables
from devkit.system import apt_install, can_use_apt

_SHELL = "chromium-headless-shell"
_NAMES = (
    _SHELL, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge",
    "msedge",
)  # fmt: skip
_PLACES = (
    "/usr/bin/chromium",
    "/usr/lib/chromium/chromium",
    "/opt/google/chrome/chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "%ProgramFiles%/Google/Chrome/Application/chrome.exe",
    "%ProgramFiles(x86)%/Google/Chrome/Application/chrome.exe",
    "%LocalAppData%/Google/Chrome/Application/chrome.exe",
    "%ProgramFiles(x86)%/Microsoft/Edge/Application/msedge.exe",
)
_ASK_PLAYWRIGHT = (
    "from playwright.sync_api import sync_playwright\nwith sync_playwright() as p: print(p.chromium.executable_path)"
)


def find(env: Mapping[str, str], places: Iterable[str] = _PLACES) -> Path | None:
    """The browser named in OPD_BROWSER, else the first on PATH, else the first in `places`.

    Raises:
        StepFailedError: OPD_BROWSER names something that is not there; a wish is not silently replaced.
    """
    if chosen := env.get("OPD_BROWSER"):
        if path := shutil.which(chosen, path=env.get("PATH", "")):
            return Path(path)
        raise StepFailedError(f"OPD_BROWSER names {chosen}, which is no program that can be started.")
    for name in _NAMES:
        if path := shutil.which(name, path=env.get("PATH", "")):
            return Path(path)
    candidates = (Path(os.path.expandvars(place)) for place in places)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def ensure() -> Path:
    """A browser to test with, installed when the machine has none, or only the heavier one."""
    found = find(os.environ)
    if found and (stamps.is_fresh("browser", str(found), [found]) or not _shell_is_better_than(found)):
        skipped(f"Browser for the tests ({found})")
        return found
    if can_use_apt():
        _install(_SHELL)
        if not find(os.environ):  # not every system has the shell as a package
            _install("chromium")
        if found := find(os.environ):
            stamps.mark("browser", str(found))
            return found
    hint = "Install Chromium, Chrome or Edge, or name one in OPD_BROWSER, and run this again."
    command = [str(PYTHON), "-m", "playwright", "install"]
    # --with-deps asks apt for libraries, which only root may do.
    if sys.platform.startswith("linux") and os.geteuid() == 0:
        command.append("--with-deps")
    step("Browser for the tests (Playwright)", [*command, "chromium"], env=variables(), hint=hint)
    answer = step("Browser's place", [PYTHON, "-c", _ASK_PLAYWRIGHT], env=variables(), hint=hint)
    return Path(answer.strip())


def _install(package: str) -> None:
    """Ask the system for it; where that fails the next way is tried."""
    try:
        apt_install("Browser for the tests", [package, "fonts-liberation"])
    except StepFailedError:
        say(f"  note: {package} could not be installed")


def _shell_is_better_than(found: Path) -> bool:
    """Whether the headless shell should be installed beside a browser that was found and not asked for."""
    return found.name != _SHELL and "OPD_BROWSER" not in os.environ and can_use_apt()
