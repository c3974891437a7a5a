"""`kill -9` at random moments and at every named point of a checkpoint's commit: nothing may differ afterwards.

The short form runs in `make test`; `make torture MINUTES=30` runs the long one and prints its table.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from faults.harness import POINTS, Tally, Torture, history, model_digest
from opd.store.runs import RunFolder
from run_processes import RunProcess, die

VARIANTS = {
    "full, lambda 0.4": {"on_policy_fraction": 0.4, "warm_start": {"steps": 2}},
    "adapters": {"student_training": "lora"},
}


def make(root: Path, name: str) -> Torture:
    changes = dict(VARIANTS[name])
    if changes.pop("student_training", None):
        student = {"model": str(root / "student"), "training": "lora", "lora": {"rank": 4, "alpha": 8}}
        changes["student"] = student
    return Torture(root, **changes)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", VARIANTS)
def test_nothing_differs_after_kills(tmp_path: Path, name: str) -> None:
    torture, tally, rng = make(tmp_path, name), Tally(), random.Random(name)
    torture.kill_at_points(tally, POINTS)
    torture.kill_at_points(tally, POINTS[::-1])
    while tally.kills < 20:
        torture.kill_at_random(tally, rng, kills=4)
    print(f"{name}: {tally}")
    assert tally.faults() == 0, tally.notes


def die_before_the_exit_record() -> None:
    RunFolder.end = lambda *args, **options: die()  # type: ignore[method-assign]  # the kill comes where the end would be written


def test_a_run_killed_between_its_last_word_and_its_exit_record_ends_once(tmp_path: Path) -> None:
    torture = make(tmp_path, "full, lambda 0.4")
    run = torture.store.create(torture.config)
    assert RunProcess(run, before=die_before_the_exit_record).wait() == -signal.SIGKILL
    assert run.state() == "interrupted"
    assert RunProcess(run).wait() == 0
    assert run.state() == "done"
    assert model_digest(run) == model_digest(torture.whole)
    assert history(run) == history(torture.whole), "the end is said once"


@pytest.mark.torture
def test_nothing_differs_after_many_kills(tmp_path: Path) -> None:
    minutes = float(os.environ.get("OPD_TORTURE_MINUTES", "30"))
    deadline = time.monotonic() + minutes * 60 / 2
    tallies = {name: Tally() for name in VARIANTS}
    tortures = {name: make(tmp_path, name) for name in VARIANTS}
    rng = random.Random(0)
    while time.monotonic() < deadline or sum(t.kills for t in tallies.values()) < 40:
        for name, torture in tortures.items():
            torture.kill_at_points(tallies[name], rng.sample(POINTS, len(POINTS)))
            torture.kill_at_random(tallies[name], rng, kills=rng.randint(2, 6))
    for name, tally in tallies.items():
        print(f"{name:>20}: {tally}")
    assert all(tally.faults() == 0 for tally in tallies.values()), [t.notes for t in tallies.values()]
