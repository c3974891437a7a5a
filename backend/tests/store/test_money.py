"""The ledger: its stories, its guards one by one, a state machine, and processes that are killed."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from mutants import Mutant, read_mutants
from opd.store import money
from tests.store.money_scenarios import SCENARIOS, Scenario

PACKAGE = Path(money.__file__).parent


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_scenario(scenario: Scenario, tmp_path: Path) -> None:
    scenario(money, tmp_path)


# --- every guard is needed --------------------------------------------------------------------------


MUTANTS = read_mutants(Path(__file__).with_name("money_mutants.txt"))
STORIES = {scenario.__name__: scenario for scenario in SCENARIOS}


def build(mutant: Mutant, folder: Path) -> ModuleType:
    """The package with one text replaced, importable beside the real one under a name of its own."""
    name = f"money_mutant_{MUTANTS.index(mutant)}"
    target = folder / name
    shutil.copytree(PACKAGE, target, ignore=shutil.ignore_patterns("__pycache__"))
    source = (target / mutant.file).read_text(encoding="utf-8")
    (target / mutant.file).write_text(mutant.applied(source), encoding="utf-8")
    for path in target.glob("*.py"):
        path.write_text(path.read_text(encoding="utf-8").replace("opd.store.money", name), encoding="utf-8")
    return importlib.import_module(name)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "_"))
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_without_this_guard_its_story_fails(mutant: Mutant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    package = build(mutant, tmp_path)
    with pytest.raises(Exception):  # noqa: B017 - whatever the missing guard lets through
        STORIES[mutant.story](package, tmp_path)


# --- processes that are killed ----------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
@pytest.mark.parametrize("num_kills", [300, pytest.param(5000, marks=pytest.mark.torture)])
def test_killed_workers_never_overspend_nor_lose_a_bill(
    num_kills: int, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    program = Path(__file__).with_name("money_killer.py")
    result = subprocess.run(
        [sys.executable, str(program), str(tmp_path), str(num_kills), "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    tell(f"workers that pay, kill -9: {json.dumps(found)}")
    assert found["kills"] >= num_kills
    assert set(found["ends"]) <= {"-9", "3"}, "a worker ended by a fault of its own"
    assert found["problems"] == []
    assert found["wrong_calls"] == found["unknown_bills"] == []
    assert found["keys_settled_twice"] == 0
    assert found["within_cap"]
    assert found["billed"] <= found["counted"]
    assert {"SETTLED", "UNCERTAIN", "RELEASED"} == set(found["states"])
