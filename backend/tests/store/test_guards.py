"""Every protection of runs and checkpoints is needed: without it, a story fails."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

import opd
from mutants import Mutant, read_mutants
from opd.store import files, runs
from opd.training import checkpoint
from tests.store.run_stories import STORIES, Keepers, Story

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc for what was synced")
MUTANTS = read_mutants(Path(__file__).with_name("run_mutants.txt"))
BY_NAME = {story.__name__: story for story in STORIES}
REAL = Keepers(files, runs, checkpoint)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_story(story: Story, tmp_path: Path) -> None:
    story(REAL, tmp_path)


def altered(mutant: Mutant, folder: Path) -> Keepers:
    """The three modules, one of them without a guard."""
    path = Path(opd.__file__).parent / mutant.file
    name = f"altered_{path.stem}"
    target = folder / f"{name}.py"
    target.write_text(mutant.applied(path.read_text(encoding="utf-8")), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, target)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    modules: dict[str, ModuleType] = {"files": files, "runs": runs, "checkpoint": checkpoint, path.stem: module}
    return Keepers(**modules)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_without_this_guard_its_story_fails(mutant: Mutant, tmp_path: Path) -> None:
    keepers = altered(mutant, tmp_path)
    root = tmp_path / "story"
    root.mkdir()
    with pytest.raises(BaseException) as failed:
        BY_NAME[mutant.story](keepers, root)
    assert not isinstance(failed.value, KeyboardInterrupt | SystemExit)
