"""`kill -9` at random moments and at every named point of a checkpoint's commit: nothing may differ afterwards.

The short form runs in `make test`; `make torture MINUTES=30` runs the long one and prints its table.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from pathlib import Path

import pytest

from faults.comparison import history, model_digest
from faults.harness import POINTS, PROMPTS, ROWS, STEPS, Tally, Torture
from faults.variants import MIXED, VARIANTS
from opd.store.runs import RunFolder
from run_processes import RunProcess, die
from tiny import make_model

KILLS = 500
"""Of the long form in half an hour or more; less in less."""
EPOCHS = ((STEPS - 1) * ROWS) // PROMPTS + 1
Tell = Callable[[str], None]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", VARIANTS)
def test_nothing_differs_after_kills(tmp_path: Path, name: str, tell: Tell) -> None:
    tally, rng = Tally(), random.Random(name)
    with VARIANTS[name](tmp_path) as torture:
        torture.kill_at_every_step(tally, first=rng.randrange(len(POINTS)))
        while tally.kills < 10:
            torture.kill_at_random(tally, rng, kills=2)
    tell(f"kill -9, {name}: {tally}")
    assert tally.faults() == 0, tally.notes


def die_before_the_exit_record() -> None:
    RunFolder.end = lambda *args, **options: die()  # type: ignore[method-assign]  # the kill comes where the end would be written


def test_a_run_killed_between_its_last_word_and_its_exit_record_ends_once(tmp_path: Path) -> None:
    torture = Torture(tmp_path, **MIXED)
    run = torture.store.create(torture.config)
    assert RunProcess(run, before=die_before_the_exit_record).wait() == -signal.SIGKILL
    assert run.state() == "interrupted"
    assert RunProcess(run).wait() == 0
    assert run.state() == "done"
    assert model_digest(run) == model_digest(torture.whole)
    assert history(run) == history(torture.whole), "the end is said once"


@pytest.mark.torture
def test_nothing_differs_after_many_kills(tmp_path: Path, tell: Tell) -> None:
    """Every point in every epoch, with everything that learns and teaches; then at random moments."""
    share = min(1.0, float(os.environ.get("OPD_TORTURE_MINUTES", "30")) / 30)
    least = ceil(KILLS * share / len(VARIANTS))

    def torment(name: str) -> Tally:
        tally, rng = Tally(), random.Random(name)
        root = tmp_path / name.partition(",")[0]
        root.mkdir()
        with VARIANTS[name](root) as torture:
            for first in range(ceil(len(POINTS) * share)):
                torture.kill_at_every_step(tally, first)
            while tally.kills < least:
                torture.kill_at_random(tally, rng, kills=rng.randint(2, 6))
        return tally

    make_model()  # transformers loads its parts when they are first asked for, and not in two threads at once
    with ThreadPoolExecutor(2) as pool:
        tallies = dict(zip(VARIANTS, pool.map(torment, VARIANTS), strict=True))
    for name, tally in tallies.items():
        tell(f"kill -9, {name}: {tally}")
    tell(f"kill -9, all: {sum(tally.kills for tally in tallies.values())} kills")
    assert all(tally.faults() == 0 for tally in tallies.values()), [tally.notes for tally in tallies.values()]
    if share == 1:
        assert all(len(tally.places) == EPOCHS * len(POINTS) for tally in tallies.values())
