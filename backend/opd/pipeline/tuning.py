"""Imitation with a learning rate that was chosen: the baseline, and the warm start with a teacher that only answers.

In: answers and candidate rates. Out: the best candidate's weights in a folder, and what each one reached. The choice
is made on validation prompts, else on a fifth of the training prompts, after which the best rate trains on all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opd.pipeline.imitation import StageName, imitate
from opd.pipeline.measuring import Measurements
from opd.pipeline.workbench import Workbench
from opd.training import checkpoint
from opd.training.decoding import Completion


def num_tuning_steps(bench: Workbench, steps: int, rates: Sequence[float], *, validates: bool = True) -> int:
    """Steps of all candidates together, and of the last training where the choice was made on a part."""
    apart = bool(bench.prompts.validation) and validates
    return steps * (len(rates) + (len(rates) > 1 and not apart)) if len(rates) > 1 else steps


def tuned_imitation(
    bench: Workbench,
    measurements: Measurements,
    answers: list[Completion],
    *,
    stage: StageName,
    steps: int,
    rates: Sequence[float],
    kept: Path,
) -> dict[str, Any]:
    """Train a candidate for each rate and keep the best one's weights in `kept`.

    Returns:
        The best rate, and the validation score of each.
    """
    validation = bench.prompts.validation if measurements.can_judge else []
    part = None if validation or len(rates) == 1 else _Part(bench)
    scores: dict[float, float] = {}
    kept.mkdir(exist_ok=True)

    def train(rate: float, rows: Sequence[int] | None) -> Any:
        student = bench.fresh_student()
        done = len(scores) * steps
        imitate(bench, student, answers, stage=stage, steps=steps, learning_rate=rate, rows=rows, done_before=done)
        return student

    for rate in rates:
        student = train(rate, part.learned if part else None)
        if len(rates) == 1:
            scores[rate] = 0.0
        elif part:
            records, references = [bench.prompts.train[i] for i in part.held], [answers[i] for i in part.held]
            scores[rate] = measurements.validate(student, records, references)
        else:
            scores[rate] = measurements.validate(student, validation)
        if part is None and scores[rate] == max(scores.values()):
            checkpoint.save_learned(student.model, kept)
    best = max(rates, key=lambda rate: scores[rate])
    if part:
        checkpoint.save_learned(train(best, None).model, kept)
    return {"learning_rate": best, "scores": {f"{rate:g}": score for rate, score in scores.items()}}


class _Part:
    """Rows that are learned, and rows of other prompts that are held for the choice: a fifth of the prompts."""

    def __init__(self, bench: Workbench):
        numbers: dict[str, int] = {}
        for record in bench.prompts.train:
            numbers.setdefault(record.id, len(numbers))
        places = [numbers[record.id] for record in bench.prompts.train]
        self.learned = [row for row, place in enumerate(places) if place % 5]
        self.held = [row for row, place in enumerate(places) if place % 5 == 0]
