"""`test`: the checks with the front end's tests beside them, then the Python tests with the real browser.

Everything runs even when something before it failed; the last line is the sum.
"""

from __future__ import annotations

import json
import os
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from devkit import browser, checks, node
from devkit.console import duration, foreground, say
from devkit.environment import PYTHON, variables
from devkit.paths import CACHE, FRONTEND

_PYTEST_REPORT = CACHE / "reports" / "pytest.xml"
_VITEST_REPORT = CACHE / "reports" / "vitest.xml"
_SECONDS = CACHE / "test_seconds.json"
_NUM_SLOWEST = 15


class Count(NamedTuple):
    """How many tests of one runner ended how."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def plus(self, other: Count) -> Count:
        return Count(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        text = f"{self.passed} passed, {self.failed} failed"
        return f"{text}, {self.skipped} skipped" if self.skipped else text


def run(pytest_arguments: Sequence[str]) -> int:
    """Runs everything; returns 0 only when each part exited with 0 and at least one Python test ran."""
    started = time.monotonic()
    say("\nChecks, and the front end's tests beside them")
    front = [_vitest()] if FRONTEND.is_dir() else []
    outcomes = checks.run([*front, *checks.all_checks()])
    failed = [outcome.check.name for outcome in outcomes if not outcome.passed]

    parts = {check.name: (int(check.name in failed), count_junit(_VITEST_REPORT)) for check in front}
    say("\nPython tests, the browser included (pytest)")
    parts["pytest"] = pytest([*pytest_arguments, f"--durations={_NUM_SLOWEST}"], env=test_variables())
    _keep_seconds()

    say(f"\nAll of it took {duration(time.monotonic() - started)}")
    failed_checks = [name for name in failed if name not in parts]
    say(f"  checks: {'FAILED: ' + ', '.join(failed_checks) if failed_checks else 'ok'}")
    total = Count()
    for name, (code, count) in parts.items():
        say(f"  {name}: {'ok' if code == 0 else f'FAILED (exit {code})'}, {count}")
        total = total.plus(count)
    say(str(total))
    return 1 if failed_checks or any(code != 0 for code, _ in parts.values()) else 0


def pytest(arguments: Sequence[str], env: dict[str, str]) -> tuple[int, Count]:
    """Runs pytest in the foreground and counts what it did. Its own exit code comes back: 5 means no test ran."""
    _PYTEST_REPORT.unlink(missing_ok=True)
    code = foreground([PYTHON, "-m", "pytest", f"--junitxml={_PYTEST_REPORT}", *arguments], env=env)
    return code, count_junit(_PYTEST_REPORT)


def test_variables() -> dict[str, str]:
    """The environment of the Python tests: where the browser is, how long each file took last time, and one maths
    thread for each process, since every core has a test of its own."""
    env = variables()
    env["OPD_BROWSER"] = str(browser.ensure())
    env["OPD_TEST_SECONDS"] = str(_SECONDS)
    env.setdefault("OMP_NUM_THREADS", "1")
    return env


def parallel_arguments() -> list[str]:
    """A pytest worker per core, and one more because tests also wait: for pages, for time limits, for processes.

    What stays together, and in which order it is handed out, says `backend/tests/distribution.py`.
    """
    workers = 1 + min(4, os.cpu_count() or 1)
    return ["-n", str(workers), "--dist", "loadscope", "--no-loadscope-reorder"]


def seconds_by_file(report: Path) -> dict[str, float]:
    """How long the tests of each file took together, by the file's module as pytest names it."""
    found: dict[str, float] = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):  # noqa: S314 - written by our own runner
        # the class name is the module's, and the class's where there is one, whose name has capitals
        module = ".".join(part for part in case.get("classname", "").split(".") if part.islower())
        found[module] = round(found.get(module, 0.0) + float(case.get("time", "0")), 2)
    return found


def count_junit(report: Path) -> Count:
    """The sums of a JUnit file that a runner of ours wrote; zeros when it wrote none."""
    if not report.is_file():
        return Count()
    total = Count()
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):  # noqa: S314 - written by our own runner
        number = {key: int(suite.get(key, "0")) for key in ("tests", "failures", "errors", "skipped")}
        failed = number["failures"] + number["errors"]
        total = total.plus(Count(number["tests"] - failed - number["skipped"], failed, number["skipped"]))
    return total


def _keep_seconds() -> None:
    """So that the next run can begin with what takes longest."""
    if _PYTEST_REPORT.is_file():
        _SECONDS.write_text(json.dumps(seconds_by_file(_PYTEST_REPORT), indent=1), "utf-8")


def _vitest() -> checks.Check:
    _VITEST_REPORT.unlink(missing_ok=True)
    found = node.ensure()
    node.install_packages(found)
    reporters = ["--reporter=default", "--reporter=junit", f"--outputFile.junit={_VITEST_REPORT}"]
    return checks.Check("vitest", [*found.npm, "run", "test", "--", *reporters], found.variables(), FRONTEND)
