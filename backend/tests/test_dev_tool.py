"""The bootstrap: what it takes for up to date, what it finds on a machine, what it says when it fails."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
import tomllib
from pathlib import Path

import pytest

from devkit import browser, console, environment, interpreters, node, paths, stamps, system

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

needs_sh = pytest.mark.skipif(os.name == "nt", reason="the stand-in programs are shell scripts")


def write_program(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]), "utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own, inside a root of its own."""
    folder = tmp_path / ".cache"
    for module in (console, stamps):
        monkeypatch.setattr(module, "CACHE", folder)
    monkeypatch.setattr(console, "ROOT", tmp_path)
    return folder


# --- interpreters --------------------------------------------------------------------------------


def test_the_running_python_describes_itself() -> None:
    found = interpreters.ask([sys.executable])
    assert found is not None
    assert found.version == sys.version_info[:3]
    assert found.can_make_venv


def test_what_is_no_python_is_not_taken_for_one(tmp_path: Path) -> None:
    assert interpreters.ask([str(tmp_path / "absent")]) is None
    assert interpreters.ask([sys.executable, "-c", "print('hello')"]) is None


@needs_sh
@pytest.mark.parametrize(
    ("version", "can_make_venv", "expected"),
    [
        ([3, 9, 2], True, "Python 3.11, 3.12 or 3.13 is needed; found: Python 3.9.2"),
        ([3, 12, 1], False, "apt install python3-venv"),
    ],
)
def test_an_unusable_python_is_refused_with_what_to_install(
    version: list[int], can_make_venv: bool, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    answer = json.dumps([str(program), version, can_make_venv])
    write_program(program, f"echo '{answer}'")
    monkeypatch.setenv("OPD_PYTHON", str(program))
    found = interpreters.find()
    assert isinstance(found, str)
    assert expected in found


@needs_sh
def test_a_newer_python_than_the_tested_ones_is_better_than_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = write_program(tmp_path / "python", f"echo '{json.dumps(['p', [3, 99, 0], True])}'")
    monkeypatch.setenv("OPD_PYTHON", str(program))
    found = interpreters.find()
    assert not isinstance(found, str)
    assert found.version == (3, 99, 0)


# --- stamps --------------------------------------------------------------------------------------


def test_digest_parts_do_not_run_into_one_another() -> None:
    assert stamps.digest("ab", "c") != stamps.digest("a", "bc")
    assert stamps.digest("ab", "c") == stamps.digest("ab", b"c")


def test_digest_of_a_folder_changes_with_names_and_contents_but_not_with_node_modules(tmp_path: Path) -> None:
    folder = tmp_path / "frontend"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "a.ts").write_text("one")
    seen = [stamps.digest_files([folder])]
    (folder / "src" / "a.ts").write_text("two")
    seen.append(stamps.digest_files([folder]))
    (folder / "src" / "a.ts").rename(folder / "src" / "b.ts")
    seen.append(stamps.digest_files([folder]))
    assert len(set(seen)) == 3
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "x.js").write_text("x")
    assert stamps.digest_files([folder]) == seen[-1]


def test_a_missing_file_is_an_input_too(tmp_path: Path) -> None:
    before = stamps.digest_files([tmp_path / ".npmrc"])
    (tmp_path / ".npmrc").write_text("")
    assert stamps.digest_files([tmp_path / ".npmrc"]) != before


def test_a_step_is_fresh_for_the_same_inputs_while_its_output_is_there(cache: Path, tmp_path: Path) -> None:
    output = tmp_path / "index.html"
    output.write_text("x")
    assert not stamps.is_fresh("ui", "inputs", [output])
    stamps.mark("ui", "inputs")
    assert stamps.is_fresh("ui", "inputs", [output])
    assert not stamps.is_fresh("ui", "other inputs", [output])
    output.unlink()
    assert not stamps.is_fresh("ui", "inputs", [output])
    stamps.forget("ui")
    assert not stamps.is_fresh("ui", "inputs", [])


# --- steps ---------------------------------------------------------------------------------------


def test_a_step_returns_its_output_and_keeps_a_log(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = console.step("Say hello", [sys.executable, "-c", "print('hello')"], cwd=ROOT)
    assert output.strip() == "hello"
    assert (cache / "logs" / "say-hello.log").read_text().strip() == "hello"
    assert re.search(r"Say hello \.+ ok, \d", capsys.readouterr().out)


def test_a_failed_step_shows_its_last_lines_its_log_and_what_to_do(cache: Path) -> None:
    script = "print(*('line %d' % n for n in range(100)), sep='\\n'); raise SystemExit(3)"
    with pytest.raises(console.StepFailedError) as caught:
        console.step("Doomed", [sys.executable, "-c", script], cwd=ROOT, hint="Try something else.")
    text = str(caught.value)
    assert "exited with 3" in text
    assert "line 99" in text
    assert "line 70" in text
    assert "line 69" not in text
    assert "doomed.log" in text
    assert text.endswith("Try something else.")


def test_a_program_that_is_not_there_fails_the_step_with_its_name(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(console.StepFailedError, match="could not be started"):
        console.step("Absent", [tmp_path / "absent"], cwd=ROOT)


def test_noise_is_dropped_and_everything_else_is_kept() -> None:
    output = "WARNING: Location '/a/b' is ignored: it is no path\n\nERROR: No matching distribution\n"
    assert console.readable(output) == "ERROR: No matching distribution"


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.44, "0.4 s"), (12.4, "12 s"), (119.4, "119 s"), (185.0, "3 min 05 s")]
)
def test_durations_read_like_speech(seconds: float, expected: str) -> None:
    assert console.duration(seconds) == expected


def test_a_foreground_command_hands_its_exit_code_on() -> None:
    assert console.foreground([sys.executable, "-c", "raise SystemExit(7)"]) == 7


# --- what is on the machine ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("v18.20.1", False),
        ("v20.18.9", False),
        ("v20.19.0", True),
        ("v21.7.3", False),
        ("v22.11.0", False),
        ("v22.12.0", True),
        ("v24.0.0", True),
        ("", False),
    ],
)
def test_node_versions_that_the_build_runs_on(version: str, expected: bool) -> None:
    assert node.is_new_enough(version) is expected


@needs_sh
def test_node_on_path_is_taken_only_when_it_is_new_enough_and_has_npm(tmp_path: Path) -> None:
    env = {"PATH": str(tmp_path)}
    assert node.find(env) is None
    write_program(tmp_path / "node", "echo v22.20.0")
    assert node.find(env) is None
    npm = write_program(tmp_path / "npm", "exit 0")
    assert node.find(env) == node.Node(tmp_path, (str(npm),), "v22.20.0")
    write_program(tmp_path / "node", "echo v18.0.0")
    assert node.find(env) is None


@needs_sh
def test_the_browser_is_the_chosen_one_then_the_one_on_path_then_the_one_in_a_known_place(tmp_path: Path) -> None:
    place = write_program(tmp_path / "opt" / "chrome", "exit 0")
    env = {"PATH": str(tmp_path / "bin")}
    assert browser.find(env, [str(tmp_path / "absent")]) is None
    assert browser.find(env, [str(tmp_path / "absent"), str(place)]) == place
    on_path = write_program(tmp_path / "bin" / "chromium", "exit 0")
    assert browser.find(env, [str(place)]) == on_path
    shell = write_program(tmp_path / "bin" / "chromium-headless-shell", "exit 0")
    assert browser.find(env, [str(place)]) == shell, "the same engine for less"
    chosen = write_program(tmp_path / "mine", "exit 0")
    assert browser.find({**env, "OPD_BROWSER": str(chosen)}, [str(place)]) == chosen


def test_a_chosen_browser_that_is_not_there_is_an_error_not_a_reason_to_take_another(tmp_path: Path) -> None:
    with pytest.raises(console.StepFailedError, match="OPD_BROWSER"):
        browser.find({"PATH": "", "OPD_BROWSER": str(tmp_path / "absent")})


@pytest.mark.parametrize(
    ("text", "expected"),
    [('PRETTY_NAME="Debian"\nID=debian\n', True), ("ID=ubuntu\nID_LIKE=debian\n", False), ("", False)],
)
def test_only_debian_itself_is_debian(text: str, expected: bool, tmp_path: Path) -> None:
    release = tmp_path / "os-release"
    release.write_text(text)
    assert system.is_debian(release) is expected
    assert not system.is_debian(tmp_path / "absent")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("", False),
        ("global.timeout='60'\n", False),
        ("global.find-links='/wheels'\n", True),
        (":env:.index-url='https://mirror.example'\n", True),
        ("global.extra-index-url='file:///simple'\n", True),
    ],
)
def test_a_pip_with_its_own_sources_is_recognised(config: str, expected: bool) -> None:
    assert environment.pip_is_configured(config) is expected


def test_commands_of_the_project_see_its_programs_first_and_no_foreign_python_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    env = environment.variables()
    assert env["PATH"].split(os.pathsep)[0] == str(paths.VENV_BIN)
    assert "PYTHONPATH" not in env
