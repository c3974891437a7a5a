"""Interrupted runs beside an uninterrupted one, and the count of what differs."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults.comparison import differences, history, model_digest, stored_events
from opd.config import RunConfig, parse_config
from opd.events import RunResumed
from opd.store.money import Ledger, audit, costs
from opd.store.runs import ACTIVE, RunFolder, RunStore
from run_processes import RunProcess
from tiny import save_model

POINTS = ("stage", "written", "synced", "manifest", "renamed", "durable", "pruned")
STEPS, ROWS, PROMPTS = 8, 4, 7
"""Four rows a step of seven prompts: five epochs."""


@dataclass
class Tally:
    """What `make torture` prints."""

    kills: int = 0
    runs: int = 0
    resumes: int = 0
    differing_models: int = 0
    differing_histories: int = 0
    gaps_in_the_log: int = 0
    failed_resumes: int = 0
    lost_steps: int = 0
    paid_twice: int = 0
    under_way: int = 0
    """Paid calls whose answers a kill kept from arriving: asked again, and counted at their worst case."""
    places: set[tuple[int, str]] = field(default_factory=set)
    """Epoch and point of a commit at which a run was killed."""
    notes: list[str] = field(default_factory=list)

    def faults(self) -> int:
        return (
            self.differing_models + self.differing_histories + self.gaps_in_the_log + self.failed_resumes
            + self.lost_steps + self.paid_twice
        )  # fmt: skip

    def __str__(self) -> str:
        return (
            f"{self.kills} kills in {self.runs} runs ({len(self.places)} pairs of epoch and point), {self.resumes} "
            f"resumes: {self.failed_resumes} failed, {self.differing_models} other models, {self.differing_histories} "
            f"other histories, {self.gaps_in_the_log} logs with gaps, {self.lost_steps} saved steps lost, "
            f"{self.paid_twice} answers paid twice" + (f" ({self.under_way} under way)" if self.under_way else "")
        )


class Torture:
    """One configuration, its uninterrupted run, and interrupted ones beside it.

    Args:
        num_billed: how many answers the teacher of `changes` has billed so far, if it is one that is paid.
    """

    def __init__(self, root: Path, *, num_billed: Callable[[], int] | None = None, **changes: Any):
        self.root, self._num_billed, self._num_stores = root, num_billed, 0
        if not (root / "student").exists():
            save_model(root / "student", seed=0)
            save_model(root / "teacher", seed=5)
            lines = [
                {"messages": [{"role": "user", "content": f"{a}+{a}?"}, {"role": "assistant", "content": str(2 * a)}]}
                for a in range(PROMPTS + 3)
            ]
            (root / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        self.config = self._config(**changes)
        self.store = RunStore(root / f"{time.monotonic_ns():x}")
        self.whole = self.store.create(self.config)
        process = RunProcess(self.whole)
        assert process.wait() == 0, process.log()
        self._model, self._history = model_digest(self.whole), history(self.whole)
        self._num_paid = num_paid(self.whole)[0]

    def _config(self, **changes: Any) -> RunConfig:
        settings: dict[str, Any] = {
            "student": {"model": str(self.root / "student")},
            "teacher": {"type": "local", "model": str(self.root / "teacher")},
            "data": {"path": str(self.root / "prompts.jsonl"), "test_fraction": 0.3, "answer_match": "last_number"},
            "max_steps": STEPS,
            "batch_size": ROWS,
            "learning_rate": 1e-3,
            "sampling": {"max_completion_tokens": 6},
            "checkpoint": {"every_steps": 1},
            "evaluation": {"probe_every_steps": 4, "probe_prompts": 1},
            "num_threads": 1,
            "device": "cpu",
        }
        return parse_config(settings | changes)

    def victim(self) -> RunFolder:
        """A new run, in a data folder of its own: an answer that another run has paid for would cost it nothing."""
        self._num_stores += 1
        return RunStore(self.store.root / f"victim-{self._num_stores}").create(self.config)

    def kill_at_random(self, tally: Tally, rng: random.Random, kills: int) -> None:
        """Kill one run up to `kills` times, each a random number of events and milliseconds on; then compare."""
        run, billed = self.victim(), self._billed()
        for number in range(kills):
            process = RunProcess(run)
            _wait_for_events(process, run, run.summary().seq + rng.randint(0, 2 * self.whole.summary().seq // kills))
            if process.wait(rng.uniform(0, 0.15)) is not None:
                break  # it was quicker than the dice
            process.kill()
            self._after_kill(run, tally, resumed=number > 0)
            if run.state() == "done":
                break
        self._finish(run, tally, f"{kills} random kills", billed)

    def kill_at_every_step(self, tally: Tally, first: int) -> None:
        """Kill one run during the commit of every step, each time at the next point, from the `first`; then compare."""
        run, billed = self.victim(), self._billed()
        for step in range(1, STEPS + 1):
            point = POINTS[(first + step) % len(POINTS)]
            process = RunProcess(run, fault_at=point, step=step)
            assert process.wait() == -signal.SIGKILL, process.log()
            tally.places.add(((step - 1) * ROWS // PROMPTS, point))
            self._after_kill(run, tally, resumed=step > 1)
        self._finish(run, tally, f"killed at every step, the first time at {POINTS[(first + 1) % len(POINTS)]}", billed)

    def _after_kill(self, run: RunFolder, tally: Tally, *, resumed: bool) -> None:
        tally.kills += 1
        tally.resumes += resumed
        if run.state() in ACTIVE:
            tally.notes.append(f"{run.run_id} is {run.state()} after a kill")
            tally.failed_resumes += 1

    def _finish(self, run: RunFolder, tally: Tally, what: str, billed: int) -> None:
        tally.runs += 1
        if run.state() != "done":
            tally.resumes += 1
            process = RunProcess(run)
            if process.wait() != 0:
                tally.failed_resumes += 1
                tally.notes.append(f"{what}: {process.log()[-500:]}")
                return
        if model_digest(run) != self._model:
            tally.differing_models += 1
            tally.notes.append(f"{what}: another model")
        if (found := history(run)) != self._history:
            tally.differing_histories += 1
            tally.notes.append(f"{what}: another history: {differences(found, self._history)}")
        if [stored.seq for stored in stored_events(run)] != list(range(1, run.summary().seq + 1)):
            tally.gaps_in_the_log += 1
        self._count_lost_steps(run, tally, what)
        if self._num_billed is not None:
            self._count_paid_twice(run, tally, what, billed)

    def _count_lost_steps(self, run: RunFolder, tally: Tally, what: str) -> None:
        """A resume goes on from the last checkpoint that was announced, or from a later one."""
        saved = 0
        for event in (stored.event for stored in stored_events(run)):
            if event.kind == "checkpoint_saved":
                saved = event.step
            elif isinstance(event, RunResumed):
                if event.exactness != "exact" or event.step < saved:
                    tally.lost_steps += max(1, saved - event.step)
                    tally.notes.append(f"{what}: resumed {event.exactness} at {event.step}, saved was {saved}")
                saved = event.step

    def _billed(self) -> int:
        return self._num_billed() if self._num_billed is not None else 0

    def _count_paid_twice(self, run: RunFolder, tally: Tally, what: str, billed: int) -> None:
        """The provider's bill beside the ledger: each answer once, but for those that a kill kept from arriving."""
        num_settled, num_uncertain, violations = num_paid(run)
        tally.under_way += num_uncertain
        twice = abs(num_settled - self._num_paid) + max(0, self._billed() - billed - num_settled - num_uncertain)
        if twice or violations:
            tally.paid_twice += max(1, twice)
            tally.notes.append(
                f"{what}: {self._billed() - billed} billed, {num_settled} settled, {num_uncertain} uncertain, "
                f"{self._num_paid} wanted; {violations}"
            )


def num_paid(run: RunFolder) -> tuple[int, int, list[str]]:
    """Answers of a run that were paid, calls whose fate is unknown, and what is wrong with its ledger."""
    path = run.path.parents[1] / "money.db"
    if not path.exists():
        return 0, 0, []
    with Ledger(path) as ledger:
        rows = costs(ledger, run_id=run.run_id)
        return sum(row.num_calls for row in rows), sum(row.num_uncertain for row in rows), audit(ledger)


def _wait_for_events(process: RunProcess, run: RunFolder, seq: int) -> None:
    with run.reader() as reader:
        while process.is_alive() and reader.last_seq() < seq:
            time.sleep(0.002)
