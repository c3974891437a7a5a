"""Runs trials as a person's runs are run, each in a process of its own, and keeps what came out.

In: a `Trial` and a seed. Out: `Outcome`s, one for each model of the run that was measured. Results are kept in the data
folder under a key of everything that decides them, so a bench that was interrupted goes on and a second one is free.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import opd
from opd.bench.methods.lab import Lab
from opd.bench.methods.scoring import reverse_kl, tokens_written
from opd.config import RunConfig
from opd.data_loader import load_prompts
from opd.demo.bundled import chat_teacher_dir, data_path, student_dir, teacher_dir
from opd.errors import RunFailedError
from opd.evaluation.report_data import build_report
from opd.evaluation.results import read_evaluation
from opd.events import RunSummary
from opd.serving.adapters import STATE
from opd.store.files import read_json, write_json
from opd.store.runs import RunFolder, RunStore

_POLL_S = 0.5
# What every trial is made from.
_BUNDLED = (
    student_dir() / "model.safetensors",
    teacher_dir() / "model.safetensors",
    data_path("train"),
    data_path("validation"),
    data_path("held_out"),
)
# Loading, measuring and the baseline are no part of a method's time.
_NOT_THE_METHOD = ("loading", "evaluating_before", "evaluating_after", "baseline", "finalizing")

Progress = Callable[[float], None]
"""Called with the share of the trial that is done, 0 to 1."""


@dataclass(frozen=True)
class Trial:
    """A run of the bundled task.

    Args:
        make: the configuration, from a laboratory. Called on paper too, so it must give the same then, but for
            addresses.
        program: the module that takes the run's folder to its end; another than the product's own for what is compared
            with.
        answers_only: the teacher is the bundled one with its chat skills; the run cannot see its probabilities, so the
            bench measures the reverse KL.
    """

    name: str
    make: Callable[[Lab], RunConfig]
    program: str = "opd.pipeline"
    answers_only: bool = False


@dataclass(frozen=True)
class Outcome:
    """One measured model of a trial."""

    correct: dict[str, float]
    """Held-out prompt → share of right answers."""
    reverse_kl: float | None
    teacher_tokens: int | None
    """Tokens that the teacher wrote, or read of the student's text."""
    usd: float
    seconds: float
    """Of the method: without loading, measuring and the baseline."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Last values of the run's metrics that a table may want."""


class Trials:
    """The trials of a bench and their kept results.

    Args:
        folder: runs, made models and results; `bench-methods` of the data folder.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._results = folder / "results"
        self._store = RunStore(folder)
        self._results.mkdir(parents=True, exist_ok=True)

    def kept(self, trial: Trial, seed: int) -> dict[str, Outcome] | None:
        """Results of an earlier run of this trial, by subject (before, sft, after, teacher)."""
        found = read_json(self._path(trial, seed))
        return None if found is None else {name: Outcome(**value) for name, value in found["outcomes"].items()}

    def run(self, trial: Trial, seed: int, progress: Progress = lambda share: None) -> dict[str, Outcome]:
        """Results of the trial, from an earlier run where there is one.

        Raises:
            RunFailedError: the run did not come to its end.
        """
        if (kept := self.kept(trial, seed)) is not None:
            return kept
        with Lab(seed, self.folder, on_paper=False) as lab:
            run = self._store.create(trial.make(lab))
            self._to_the_end(run, trial, progress)
        outcomes = read_outcomes(run)
        if trial.answers_only:
            after = outcomes["after"]
            outcomes["after"] = replace(after, reverse_kl=reverse_kl(run), teacher_tokens=tokens_written(run))
        write_json(
            self._path(trial, seed),
            {"trial": trial.name, "seed": seed, "outcomes": {name: asdict(one) for name, one in outcomes.items()}},
        )
        shutil.rmtree(run.checkpoints_path, ignore_errors=True)  # the student is kept, the way there is not
        return outcomes

    def _to_the_end(self, run: RunFolder, trial: Trial, progress: Progress) -> None:
        with run.log_path.open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", trial.program, str(run.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        summary, steps = RunSummary(), run.config().max_steps
        try:
            while child.poll() is None:
                time.sleep(_POLL_S)
                if run.events_path.exists():
                    summary = run.summary(summary)
                    progress(summary.step / steps)
        except BaseException:
            child.terminate()
            child.wait()
            raise
        if child.returncode != 0:
            failure = run.failure()
            raise RunFailedError(
                f"The trial {trial.name} ended early: {failure.message if failure else 'without a word'}",
                hint=f"Its log is {run.log_path}; the results so far are kept.",
            )

    def _path(self, trial: Trial, seed: int) -> Path:
        with Lab(seed, self.folder, on_paper=True) as lab:
            config = trial.make(lab)
        made_from = [*_BUNDLED, chat_teacher_dir() / STATE] if trial.answers_only else _BUNDLED
        key = sha256(f"{opd.__version__} {config.digest()} {_digest(made_from)}".encode()).hexdigest()
        return self._results / f"{trial.name}-{seed}-{key[:16]}.json"


def read_outcomes(run: RunFolder) -> dict[str, Outcome]:
    """What a finished run measured of each model."""
    report = build_report(run)
    seconds = sum(phase.seconds for phase in report.costs.phases if phase.phase not in _NOT_THE_METHOD)
    summary, written = run.summary(), _written_by_teacher(run)
    outcomes: dict[str, Outcome] = {}
    for subject in ("before", "sft", "after", "teacher"):
        evaluation = read_evaluation(run.path, subject)
        if evaluation is None or subject not in summary.evaluations:
            continue
        right: dict[str, list[float]] = {}
        for answer in evaluation.answers:
            right.setdefault(answer.prompt_id, []).append(float(bool(answer.correct)))
        divergence = summary.evaluations[subject].metrics.get("reverse_kl")
        of_method = subject == "after"
        tokens = report.costs.num_tokens if of_method else written if subject == "sft" else None
        outcomes[subject] = Outcome(
            correct={prompt: sum(values) / len(values) for prompt, values in right.items()},
            reverse_kl=divergence.mean if divergence else None,
            teacher_tokens=tokens,
            usd=report.costs.spent_usd if of_method else 0.0,
            seconds=seconds if of_method else _seconds_of(report.costs.phases, "baseline") if subject == "sft" else 0.0,
            facts={name: value for name, value in summary.latest.items() if value is not None} if of_method else {},
        )
    return outcomes


def _seconds_of(phases: Any, name: str) -> float:
    return sum(phase.seconds for phase in phases if phase.phase == name)


def _written_by_teacher(run: RunFolder) -> int | None:
    answers = read_json(run.path / "stages" / "answers.json")
    return None if answers is None else sum(len(ids) for ids, _ in answers)


def _digest(files: Sequence[Path]) -> str:
    total = sha256()
    for file in files:
        total.update(file.read_bytes())
    return total.hexdigest()


def write_prompts(path: Path, rows: list[Any]) -> Path:
    """A prompt file that a trial makes for itself; written once, checked by reading it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        stage = path.with_suffix(".part")
        stage.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        load_prompts(stage)
        stage.replace(path)
    return path
