"""`test`: the checks, the front end's tests, then the Python tests with the real browser.

Everything runs even when something before it failed; the last line is the sum.
"""

from __future__ import annotations

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

_REPORTS = CACHE / "reports"


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
    say("\nChecks")
    outcomes = checks.run(checks.all_checks())
    failed_checks = [outcome.check.name for outcome in outcomes if not outcome.passed]

    parts: dict[str, tuple[int, Count]] = {}
    if FRONTEND.is_dir():
        say("\nFront end tests (vitest)")
        parts["vitest"] = _vitest()
    say("\nPython tests, the browser included (pytest)")
    parts["pytest"] = pytest(pytest_arguments, env=test_variables())

    say(f"\nAll of it took {duration(time.monotonic() - started)}")
    say(f"  checks: {'FAILED: ' + ', '.join(failed_checks) if failed_checks else 'ok'}")
    total = Count()
    for name, (code, count) in parts.items():
        say(f"  {name}: {'ok' if code == 0 else f'FAILED (exit {code})'}, {count}")
        total = total.plus(count)
    say(str(total))
    return 1 if failed_checks or any(code != 0 for code, _ in parts.values()) else 0


def pytest(arguments: Sequence[str], env: dict[str, str]) -> tuple[int, Count]:
    """Runs pytest in the foreground and counts what it did. Its own exit code comes back: 5 means no test ran."""
    report = _REPORTS / "pytest.xml"
    report.unlink(missing_ok=True)
    code = foreground([PYTHON, "-m", "pytest", f"--junitxml={report}", *arguments], env=env)
    return code, count_junit(report)


def test_variables() -> dict[str, str]:
    """The environment of the Python tests: where the browser is, and one maths thread for each test process."""
    env = variables()
    env["OPD_BROWSER"] = str(browser.ensure())
    env.setdefault("OMP_NUM_THREADS", "1")
    return env


def parallel_arguments() -> list[str]:
    """A pytest worker per core, four at most; the tests of one file stay together because they share fixtures."""
    workers = min(4, os.cpu_count() or 1)
    return ["-n", str(workers), "--dist", "loadfile"] if workers > 1 else []


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


def _vitest() -> tuple[int, Count]:
    report = _REPORTS / "vitest.xml"
    report.unlink(missing_ok=True)
    found = node.ensure()
    node.install_packages(found)
    reporters = ["--reporter=default", "--reporter=junit", f"--outputFile.junit={report}"]
    code = foreground([*found.npm, "run", "test", "--", *reporters], env=found.variables(), cwd=FRONTEND)
    return code, count_junit(report)
