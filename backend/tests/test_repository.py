"""What the repository promises of itself: pinned versions, contracts, pages and the wheel that is built from it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from devkit import environment

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


# --- the files it works with ---------------------------------------------------------------------


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins}


def test_every_dependency_has_a_tested_version_and_none_is_a_local_build() -> None:
    project = PYPROJECT["project"]
    wanted = [*project["dependencies"], *(one for group in project["optional-dependencies"].values() for one in group)]
    names = {re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", one)[0]).lower() for one in wanted}  # type: ignore[index] - each starts with a name
    pins = constraints()
    assert names <= pins.keys()
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", version) for version in pins.values())
    assert f"torch=={pins['torch']}" == environment.TORCH


def test_ci_runs_the_whole_suite() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "set -euo pipefail" in script
    assert script.rstrip().endswith("make test")


def test_the_server_contract_names_every_module_that_is_not_for_runs() -> None:
    for_runs = {"pipeline", "training", "evaluation", "export", "serving", "demo", "bench", "teachers", "objectives"}
    for_terminals = {"cli", "cli_docs"}
    package = ROOT / "backend" / "opd"
    present = {path.stem for path in package.glob("*.py")} | {
        path.parent.name for path in package.glob("*/__init__.py")
    }
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    named = next(one for one in contracts if one["name"].startswith("The server side"))["source_modules"]
    assert {f"opd.{name}" for name in present - for_runs - for_terminals - {"__init__"}} == set(named)


def test_the_architecture_page_shows_the_storeys_that_are_checked() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    shown = re.search(r"^## Storeys.*?^```\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert shown is not None
    storeys = next(one for one in PYPROJECT["tool"]["importlinter"]["contracts"] if "layers" in one)["layers"]
    assert shown[1].split("\n")[:-1] == [re.sub(r"[()]", "", storey) for storey in storeys]


def test_lockfiles_name_no_registry() -> None:
    for lockfile in ROOT.glob("frontend/package-lock.json"):
        assert '"resolved"' not in lockfile.read_text("utf-8")


# --- the package ---------------------------------------------------------------------------------


@pytest.fixture
def small_project(tmp_path: Path) -> Path:
    """The project's own build files around a package that holds almost nothing; pages are ignored by git as here."""
    project = tmp_path / "project"
    package = project / "backend" / "opd"
    package.mkdir(parents=True)
    shutil.copy(ROOT / "backend" / "opd" / "__init__.py", package)
    shutil.copytree(ROOT / "examples", project / "examples")
    for name in ("pyproject.toml", "hatch_build.py", "LICENSE", ".gitignore", "README.md"):
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, project)
    return project


def build_wheel(project: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", "dist"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def test_the_wheel_carries_the_pages_the_examples_and_the_command(small_project: Path) -> None:
    ui = small_project / "backend" / "opd" / "ui"
    (ui / "assets").mkdir(parents=True)
    (ui / "index.html").write_text("<!doctype html>")
    (ui / "assets" / "app.js").write_text("1")
    done = build_wheel(small_project)
    assert done.returncode == 0, done.stderr
    (wheel,) = (small_project / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        entry_points = next(name for name in names if name.endswith("entry_points.txt"))
        assert "opd = opd.cli:main" in packed.read(entry_points).decode()
    assert {"opd/__init__.py", "opd/ui/index.html", "opd/ui/assets/app.js"} <= names
    assert "opd/examples/data/on_policy_prompts_test.jsonl" in names


def test_a_wheel_without_pages_is_refused(small_project: Path) -> None:
    done = build_wheel(small_project)
    assert done.returncode != 0
    assert "tools/dev.py build" in done.stderr
