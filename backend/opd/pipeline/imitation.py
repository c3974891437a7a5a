"""Learning from the teacher's own answers: asking for them, and supervised fine-tuning on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from opd.config import RunConfig
from opd.events import StepLogged
from opd.pipeline.reporter import StopRequested, finite
from opd.pipeline.workbench import Workbench
from opd.training.decoding import Completion
from opd.training.models import Student
from opd.training.plan import WindowPlan, derive_seed
from opd.training.signals import Likelihood
from opd.training.trainer import OPDTrainer
from opd.training.window_trainer import Hooks, Metrics

_ANSWERS_AT_ONCE = 64
StageName = Literal["warm_start", "baseline"]


def needs_answers(config: RunConfig) -> bool:
    """Whether some stage trains on the teacher's own answers."""
    return config.on_policy_fraction < 1 or config.warm_start.steps > 0 or config.baseline.enabled


def teacher_answers(bench: Workbench) -> list[Completion]:
    """One answer of the teacher to every training prompt, sampled once and kept with the run."""

    def ask() -> list[list[Any]]:
        sampling, records = bench.config.sampling, bench.prompts.train
        bench.reporter.phase("answering", total=len(records), unit="prompts")
        answers = bench.teacher.write(
            records,
            seeds=[derive_seed(bench.config.seed, "answer", i) for i in range(len(records))],
            max_new_tokens=sampling.max_completion_tokens,
            temperature=sampling.temperature,
            at_once=_ANSWERS_AT_ONCE,
            progress=bench.reporter.progress,
        )
        return [[list(answer.ids), answer.finished] for answer in answers]

    return [Completion(tuple(ids), bool(finished)) for ids, finished in bench.results.once("answers", ask)]


def imitate(
    bench: Workbench,
    student: Student,
    answers: list[Completion],
    *,
    stage: StageName,
    steps: int,
    learning_rate: float,
    rows: Sequence[int] | None = None,
    done_before: int = 0,
) -> None:
    """Supervised fine-tuning on the teacher's answers: the warm start, and the baseline's candidates.

    Args:
        rows: train on these prompts only (the rest is kept for choosing a learning rate).
        done_before: steps of earlier candidates, for the phase's progress.
    """
    chosen = list(rows) if rows is not None else list(range(len(bench.train_ids)))
    tuned = stage == "baseline" or len(bench.config.warm_start.learning_rates) > 1
    suffix = f"@{learning_rate:g}" if tuned else ""

    def on_step(step: int, metrics: Metrics) -> None:
        shown = {f"{name}{suffix}": metrics.get(name) for name in ("loss", "grad_norm", "learning_rate", "entropy")}
        bench.reporter.step(StepLogged(stage=stage, step=step, metrics=finite(shown)), done_before + step)
        if mode := bench.reporter.stop_mode():
            raise StopRequested(mode)

    recipe = bench.recipe(learning_rate)
    trainer = OPDTrainer(
        student,
        Likelihood(),
        [bench.train_ids[i] for i in chosen],
        WindowPlan(len(chosen), bench.config.batch_size, steps, 0.0, bench.config.seed),
        recipe,
        answers=[answers[i] for i in chosen],
        hooks=Hooks(on_step=on_step),
        output_dir=bench.scratch,
    )
    trainer.train()
