"""The commands of `make`: what they run side by side, count, refuse and remove."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from devkit import checks, cli, suite
from distribution import longest_first, unit_of

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_junit_sums_count_errors_as_failures(tmp_path: Path) -> None:
    report = tmp_path / "junit.xml"
    report.write_text(
        '<testsuites><testsuite tests="10" failures="1" errors="2" skipped="3"/>'
        '<testsuite tests="5" failures="0" errors="0"/></testsuites>'
    )
    assert suite.count_junit(report) == suite.Count(passed=9, failed=3, skipped=3)
    assert str(suite.count_junit(report)) == "9 passed, 3 failed, 3 skipped"
    assert suite.count_junit(tmp_path / "absent.xml") == suite.Count()


def test_seconds_are_summed_by_file_and_the_longest_file_comes_first(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    report = tmp_path / "junit.xml"
    report.write_text(
        '<testsuites><testsuite><testcase classname="backend.tests.a.test_one" time="1.25"/>'
        '<testcase classname="backend.tests.a.test_one.TestClass" time="2"/>'
        '<testcase classname="backend.tests.test_two" time="3"/></testsuite></testsuites>'
    )
    assert suite.seconds_by_file(report) == {"backend.tests.a.test_one": 3.25, "backend.tests.test_two": 3.0}
    items = request.session.items
    module = items[-1].nodeid.partition("::")[0].removesuffix(".py").replace("/", ".")
    ordered = longest_first(items, {module: 1e6})
    assert unit_of(ordered[0].nodeid) == unit_of(items[-1].nodeid)
    units = [unit_of(item.nodeid) for item in ordered]
    assert len(set(units)) == 1 + sum(one != other for one, other in pairwise(units)), "no unit is torn apart"
    assert sorted(map(id, ordered)) == sorted(map(id, items)), "the same tests"


def test_checks_run_side_by_side_and_a_failing_one_shows_its_say(capsys: pytest.CaptureFixture[str]) -> None:
    env = dict(os.environ)
    good = checks.Check("good", [sys.executable, "-c", "print('quiet')"], env)
    bad = checks.Check("bad", [sys.executable, "-c", "print('why'); raise SystemExit(1)"], env, remedy="do this")
    outcomes = checks.run([good, bad])
    assert {outcome.check.name: outcome.passed for outcome in outcomes} == {"good": True, "bad": False}
    shown = capsys.readouterr().out
    assert "why" in shown
    assert "What to do: do this" in shown
    assert "quiet" not in shown


def test_every_make_target_is_a_command_and_every_command_a_target() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = re.search(r"^COMMANDS := (.*)$", makefile, re.MULTILINE)
    assert targets is not None
    help_text = subprocess.run(
        [sys.executable, ROOT / "tools" / "dev.py", "--help"], capture_output=True, text=True, check=True
    ).stdout
    commands = re.findall(r"^    ([a-z]+)\b", help_text, re.MULTILINE)
    assert set(commands) == set(targets[1].split())


@pytest.mark.parametrize("arguments", [["nonsense"], ["check", "--nonsense"], []])
def test_unknown_arguments_are_refused(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "dev.py", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2


def test_clean_removes_what_was_made_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {name: tmp_path / name for name in ("CACHE", "UI", "VENV", "FRONTEND")}
    for name, folder in folders.items():
        (folder / "node_modules").mkdir(parents=True)
        monkeypatch.setattr(cli, name, folder)
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    (tmp_path / "runs").mkdir()
    assert cli.main(["clean"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"VENV", "FRONTEND", "runs"}
    assert cli.main(["clean", "--all"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"FRONTEND", "runs"}
    assert not list((tmp_path / "FRONTEND").iterdir())
