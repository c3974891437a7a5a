"""What several runs achieved and what it cost, side by side: the part of a comparison that needs the verdicts.

In: runs' summaries. Out: one `RunOutcome` each. Settings that differ and the course of metrics are told by
`opd.api.compare`. Loads no ML package.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from opd.evaluation.report_model import Part
from opd.events import Interval, RunSummary, VerdictReached

_DECIDING = ("exact_match", "judge_win_rate")


class RunOutcome(Part):
    """One run's result."""

    run_id: str
    conclusion: Literal["better", "no_significant_change", "worse", "not_measured"] | None
    """None: the run has no verdict."""
    headline: str
    recommended: Literal["before", "sft", "checkpoint", "after"] | None
    metric: str | None
    """What decided: exact_match or judge_win_rate; None where nothing could."""
    gain_points: Interval | None
    """After less before on that metric, in percentage points."""
    gain_over_sft_points: Interval | None
    """After less the imitation baseline, in percentage points."""
    final: dict[str, float]
    """Means of the trained student by metric."""
    spent_usd: float
    usd_per_point: float | None
    """Dollars for each point gained; None unless the run made the student better."""


def compare_outcomes(summaries: Mapping[str, RunSummary]) -> list[RunOutcome]:
    """Outcomes by run id, the largest gain first, runs without one last in their given order."""
    outcomes = [run_outcome(run_id, summary) for run_id, summary in summaries.items()]
    return sorted(outcomes, key=lambda o: (o.gain_points is None, -(o.gain_points.mean if o.gain_points else 0.0)))


def run_outcome(run_id: str, summary: RunSummary) -> RunOutcome:
    """One run's result from its summary."""
    verdict, after = summary.verdict, summary.evaluations.get("after")
    metric = _deciding(verdict)
    gain = _gain(verdict, metric, "before")
    spent = summary.money.spent_nano_usd / 1e9 if summary.money else 0.0
    is_better = verdict is not None and verdict.conclusion == "better" and gain is not None and gain.mean > 0
    return RunOutcome(
        run_id=run_id,
        conclusion=verdict.conclusion if verdict else None,
        headline=verdict.headline if verdict else "",
        recommended=verdict.recommended if verdict else None,
        metric=metric,
        gain_points=gain,
        gain_over_sft_points=_gain(verdict, metric, "sft"),
        final={name: found.mean for name, found in after.metrics.items()} if after else {},
        spent_usd=spent,
        usd_per_point=spent / gain.mean if gain is not None and is_better else None,
    )


def _deciding(verdict: VerdictReached | None) -> str | None:
    found = {line.metric for line in verdict.lines} if verdict else set()
    return next((metric for metric in _DECIDING if metric in found), None)


def _gain(verdict: VerdictReached | None, metric: str | None, baseline: str) -> Interval | None:
    for line in verdict.lines if verdict else ():
        if line.metric == metric and line.baseline == baseline:
            gap = line.difference
            return Interval(mean=100 * gap.mean, low=100 * gap.low, high=100 * gap.high, num=gap.num)
    return None
