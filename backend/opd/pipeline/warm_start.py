"""The warm start: a short supervised stage on the teacher's answers, kept and compared with what comes after it."""

from __future__ import annotations

from typing import Any

from opd.pipeline.answers_only.desk import tell
from opd.pipeline.imitation import imitate
from opd.pipeline.measuring import Measurements
from opd.pipeline.tuning import num_tuning_steps, tuned_imitation
from opd.pipeline.workbench import Workbench
from opd.training import checkpoint
from opd.training.decoding import Completion

_FOLDER = "warm_start"


def warm_start(bench: Workbench, measurements: Measurements, answers: list[Completion]) -> None:
    """Train the run's student on the answers; kept, so that a resumed run starts from the same weights."""
    config, kept, model = bench.config.warm_start, bench.folder.path / _FOLDER, bench.student.model
    rates = config.learning_rates or (config.learning_rate,)
    if (found := bench.results.get(_FOLDER)) is None:
        total = num_tuning_steps(bench, config.steps, rates, validates=measurements.can_judge)
        bench.reporter.phase("warm_start", total=total, unit="steps")
        if len(rates) == 1:
            imitate(bench, bench.student, answers, stage="warm_start", steps=config.steps, learning_rate=rates[0])
            kept.mkdir(exist_ok=True)
            checkpoint.save_learned(model, kept)
            found = {"learning_rate": rates[0], "scores": {}}
        else:
            found = tuned_imitation(
                bench, measurements, answers, stage="warm_start", steps=config.steps, rates=rates, kept=kept
            )
        bench.results.put(_FOLDER, {"steps": config.steps, **found})
    checkpoint.load_learned(model, kept)
    rate, best = found["learning_rate"], f", the best of {len(rates)} on validation prompts" if len(rates) > 1 else ""
    tell(
        bench,
        _FOLDER,
        f"Learned the teacher's answers for {config.steps:,} steps at a learning rate of {rate:g}{best}.",
        steps=config.steps,
        learning_rate=rate,
    )


def warm_started(bench: Workbench) -> Any:
    """The student as the warm start left it."""
    student = bench.fresh_student()
    checkpoint.load_learned(student.model, bench.folder.path / _FOLDER)
    return student.model
