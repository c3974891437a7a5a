"""From one model's results to its metrics: the table of what is measured, and `EvaluationFinished`.

In: an `Evaluation`. Out: means with intervals. Knows nothing of how results came about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from opd.evaluation.results import Evaluation, GradedAnswer, ScoredSample
from opd.evaluation.statistics import PerPrompt, mean_interval
from opd.events import EvaluationFinished

Subject = Literal["before", "sft", "after", "teacher"]


@dataclass(frozen=True)
class Metric:
    """How a metric is read from results and compared.

    `least_change`: a smaller difference is not called a change however many prompts there are; of the metric's own
    unit, or of the larger level where `is_relative`.
    """

    better_is: Literal["higher", "lower"]
    is_share: bool
    least_change: float
    records: Callable[[Evaluation], Iterable[tuple[str, float, float]]]
    is_relative: bool = False


def _answers(value: Callable[[GradedAnswer], float]) -> Callable[[Evaluation], Iterable[tuple[str, float, float]]]:
    return lambda evaluation: ((a.prompt_id, value(a), 1.0) for a in evaluation.answers)


def _samples(total: Callable[[ScoredSample], float]) -> Callable[[Evaluation], Iterable[tuple[str, float, float]]]:
    return lambda evaluation: ((s.prompt_id, total(s), float(s.num_tokens)) for s in evaluation.samples)


def _graded(evaluation: Evaluation) -> Iterable[tuple[str, float, float]]:
    return ((a.prompt_id, float(a.correct), 1.0) for a in evaluation.answers if a.correct is not None)


METRICS: dict[str, Metric] = {
    "exact_match": Metric("higher", True, 0.01, _graded),
    "reverse_kl": Metric("lower", False, 0.05, _samples(lambda s: s.sum_reverse_kl), is_relative=True),
    "teacher_nll": Metric("lower", False, 0.05, _samples(lambda s: s.sum_teacher_nll), is_relative=True),
    "general_nll": Metric(
        "lower", False, 0.05, lambda e: ((r.prompt_id, r.sum_nll, float(r.num_tokens)) for r in e.references)
    ),
    "truncated": Metric("lower", True, 0.01, _answers(lambda a: float(a.truncated))),
    "repeated": Metric("lower", True, 0.01, _answers(lambda a: float(a.repeated))),
    "refused": Metric("lower", True, 0.01, _answers(lambda a: float(a.refused))),
    "completion_tokens": Metric("lower", False, 0.1, _answers(lambda a: float(a.num_tokens)), is_relative=True),
}
"""All metrics by name. Shares are 0..1, KL and NLL nats/token on temperature-1 samples, lengths tokens.

`general_nll`: nats/token of good answers to general questions; it tells whether anything outside the task was lost."""


def per_prompt(evaluation: Evaluation, metric: str) -> PerPrompt:
    """A metric of one model by prompt; empty where it was not measured."""
    return PerPrompt.of(METRICS[metric].records(evaluation))


def summarize(subject: Subject, evaluation: Evaluation, *, seed: int = 0) -> EvaluationFinished:
    """All metrics that were measured, with 95 % intervals."""
    metrics = {}
    for name, metric in METRICS.items():
        data = per_prompt(evaluation, name)
        if len(data):
            metrics[name] = mean_interval(data, is_share=metric.is_share, seed=seed)
    return EvaluationFinished(subject=subject, metrics=metrics)
