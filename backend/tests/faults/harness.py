"""Interrupted runs beside an uninterrupted one, and the count of what differs."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opd.config import RunConfig, parse_config
from opd.events import AlarmRaised, RunResumed, StepLogged
from opd.store.runs import ACTIVE, RunFolder, RunStore
from run_processes import RunProcess
from tiny import save_model

POINTS = ("stage", "written", "synced", "manifest", "renamed", "durable", "pruned")
STEPS = 8


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
    notes: list[str] = field(default_factory=list)

    def faults(self) -> int:
        return (
            self.differing_models + self.differing_histories + self.gaps_in_the_log + self.failed_resumes
            + self.lost_steps
        )  # fmt: skip

    def __str__(self) -> str:
        return (
            f"{self.kills} kills in {self.runs} runs, {self.resumes} resumes: {self.failed_resumes} failed, "
            f"{self.differing_models} other models, {self.differing_histories} other histories, "
            f"{self.gaps_in_the_log} logs with gaps, {self.lost_steps} saved steps lost"
        )


class Torture:
    """One configuration, its uninterrupted run, and interrupted ones beside it."""

    def __init__(self, root: Path, **changes: Any):
        self.root = root
        if not (root / "student").exists():
            save_model(root / "student", seed=0)
            save_model(root / "teacher", seed=5)
            lines = [
                {"messages": [{"role": "user", "content": f"{a}+{a}?"}, {"role": "assistant", "content": str(2 * a)}]}
                for a in range(10)
            ]
            (root / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        self.config = self._config(**changes)
        self.store = RunStore(root / hashlib.sha256(self.config.as_yaml().encode()).hexdigest()[:8])
        self.whole = self.store.create(self.config)
        process = RunProcess(self.whole)
        assert process.wait() == 0, process.log()
        self._model, self._history = model_digest(self.whole), history(self.whole)

    def _config(self, **changes: Any) -> RunConfig:
        settings: dict[str, Any] = {
            "student": {"model": str(self.root / "student")},
            "teacher": {"type": "local", "model": str(self.root / "teacher")},
            "data": {"path": str(self.root / "prompts.jsonl"), "test_fraction": 0.3, "answer_match": "last_number"},
            "max_steps": STEPS,  # four rows a step of seven prompts: five epochs
            "batch_size": 4,
            "learning_rate": 1e-3,
            "sampling": {"max_completion_tokens": 6},
            "checkpoint": {"every_steps": 1},
            "evaluation": {"probe_every_steps": 4, "probe_prompts": 1},
            "num_threads": 1,
            "device": "cpu",
        }
        return parse_config(settings | changes)

    def kill_at_random(self, tally: Tally, rng: random.Random, kills: int) -> None:
        """Kill one run up to `kills` times, each a random number of events and milliseconds on; then compare."""
        run = self.store.create(self.config)
        for number in range(kills):
            process = RunProcess(run)
            _wait_for_events(process, run, run.summary().seq + rng.randint(0, 2 * self.whole.summary().seq // kills))
            if process.wait(rng.uniform(0, 0.15)) is not None:
                break  # it was quicker than the dice
            process.kill()
            self._after_kill(run, tally, resumed=number > 0)
            if run.state() == "done":
                break
        self._finish(run, tally, f"{kills} random kills")

    def kill_at_points(self, tally: Tally, points: Sequence[str]) -> None:
        """Kill one run at each of these points in turn, each after a resume from the one before; then compare."""
        run = self.store.create(self.config)
        for number, point in enumerate(points):
            process = RunProcess(run, fault_at=point, occurrence=1 + number % 2)
            code = process.wait()
            if code == 0:
                break  # the run had fewer checkpoints left than the list has points
            assert code == -signal.SIGKILL, process.log()
            self._after_kill(run, tally, resumed=number > 0)
        self._finish(run, tally, f"killed at {', '.join(points)}")

    def _after_kill(self, run: RunFolder, tally: Tally, *, resumed: bool) -> None:
        tally.kills += 1
        tally.resumes += resumed
        if run.state() in ACTIVE:
            tally.notes.append(f"{run.run_id} is {run.state()} after a kill")
            tally.failed_resumes += 1

    def _finish(self, run: RunFolder, tally: Tally, what: str) -> None:
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


def _wait_for_events(process: RunProcess, run: RunFolder, seq: int) -> None:
    with run.reader() as reader:
        while process.is_alive() and reader.last_seq() < seq:
            time.sleep(0.002)


def model_digest(run: RunFolder) -> str:
    return hashlib.sha256((run.student_path / "model.safetensors").read_bytes()).hexdigest()


def history(run: RunFolder) -> dict[str, Any]:
    """What a run says of itself but times and interruptions, as a page shows it: steps after a resume are said anew."""
    kept: list[Any] = []
    for event in (stored.event for stored in stored_events(run)):
        match event:
            case RunResumed(step=step):
                kept = [e for e in kept if not (_belongs_to_a_step(e) and e.step > step)]
            case _ if event.kind not in ("phase_started", "phase_progressed", "checkpoint_saved"):
                kept.append(event)
    return {f"{e.kind} {_name(e)} {n}": _content(e) for n, e in _numbered(kept)}


def _belongs_to_a_step(event: Any) -> bool:
    if isinstance(event, StepLogged):
        return event.stage == "distillation"
    return event.kind == "sample_recorded" or isinstance(event, AlarmRaised)


def _name(event: Any) -> str:
    parts = (getattr(event, name, "") for name in ("stage", "step", "author", "prompt_id", "subject", "code"))
    return " ".join(str(part) for part in parts if part != "")


def _numbered(events: list[Any]) -> list[tuple[int, Any]]:
    """Each event with how often the same thing was said before: said twice is a difference, too."""
    said: dict[tuple[str, str], int] = {}
    numbered = []
    for event in events:
        key = (event.kind, _name(event))
        if isinstance(event, StepLogged) and event.stage != "distillation":
            said.pop(key, None)  # a short stage without checkpoints begins anew: the last word counts
        said[key] = said.get(key, 0) + 1
        numbered.append((said[key], event))
    return numbered


def _content(event: Any) -> Any:
    content = event.model_dump()
    if isinstance(event, StepLogged):
        content["metrics"] = {
            k: v for k, v in event.metrics.items() if not k.startswith("time/") and k != "tokens_per_s"
        }
    return content


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Names of what is not the same."""
    return sorted(key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key))[:10]


def stored_events(run: RunFolder) -> list[Any]:
    with run.reader() as reader:
        return reader.read(limit=1_000_000)
