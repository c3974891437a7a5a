"""One metric of two students, compared prompt by prompt: the rows that a verdict rests on.

In: evaluations, and what a judge said. Out: `Line`s. When a change is called is said in `verdict.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from opd.evaluation.judge import Judgement
from opd.evaluation.results import Evaluation
from opd.evaluation.statistics import Comparison, PerPrompt, compare
from opd.evaluation.summary import METRICS, Subject, per_prompt
from opd.events import VerdictLine

SIGNIFICANCE = 0.01
JUDGE_METRIC, RUBRIC_METRIC = "judge_win_rate", "rubric_score"
HARMS = ("truncated", "repeated", "refused")
Conclusion = Literal["better", "no_significant_change", "worse"]
Baseline = Literal["before", "sft"]
NOBODY = Judgement()
_BASELINES: tuple[Baseline, ...] = ("before", "sft")
_JUDGED = frozenset({JUDGE_METRIC, RUBRIC_METRIC})
_JUDGE_LEAST_CHANGE = 0.01


@dataclass(frozen=True)
class Line:
    """A verdict line with what the notes need: `left` is the subject's level, `right` the baseline's."""

    metric: str
    baseline: Baseline
    left: float
    right: float
    comparison: Comparison
    conclusion: Conclusion

    def event(self) -> VerdictLine:
        return VerdictLine(
            metric=self.metric,
            better_is="higher" if self.metric in _JUDGED else METRICS[self.metric].better_is,
            baseline=self.baseline,
            difference=self.comparison.difference,
            conclusion=self.conclusion,
        )


def compare_all(evaluations: Mapping[Subject, Evaluation], judged: Judgement, seed: int) -> list[Line]:
    """Every metric that both sides have, the deciding ones first. Lengths are neither good nor bad: no line."""
    found = [
        line
        for metric in (
            "exact_match",
            JUDGE_METRIC,
            RUBRIC_METRIC,
            *(m for m in METRICS if m not in ("exact_match", "completion_tokens")),
        )
        for baseline in _BASELINES
        if (line := compare_one(evaluations, judged, metric, baseline, "after", seed))
    ]
    return [line for line in found if line.metric not in HARMS or line.left > 0 or line.right > 0]


def compare_one(
    evaluations: Mapping[Subject, Evaluation],
    judged: Judgement,
    metric: str,
    baseline: Baseline,
    subject: Subject,
    seed: int,
    *,
    significance: float = SIGNIFICANCE,
) -> Line | None:
    """A subject against a baseline; None where they have no prompt in common."""
    if metric == JUDGE_METRIC:
        left = PerPrompt.of((s.prompt_id, s.score, 1.0) for s in judged.pairs.get(baseline, ()) if s.score is not None)
        right = PerPrompt.of((prompt_id, 0.5, 1.0) for prompt_id in left.ids)
        is_share, least = True, _JUDGE_LEAST_CHANGE
    elif metric == RUBRIC_METRIC:
        left, right = (
            PerPrompt.of((s.prompt_id, s.score, 1.0) for s in judged.rubric.get(who, ()) if s.score is not None)
            for who in (subject, baseline)
        )
        is_share, least = True, _JUDGE_LEAST_CHANGE
    else:
        if baseline not in evaluations or subject not in evaluations:
            return None
        left, right = per_prompt(evaluations[subject], metric), per_prompt(evaluations[baseline], metric)
        is_share, least = METRICS[metric].is_share, METRICS[metric].least_change
    if not set(left.ids) & set(right.ids):
        return None
    comparison = compare(left, right, is_share=is_share, seed=seed)
    if metric in METRICS and METRICS[metric].is_relative:
        least *= max(abs(left.mean), abs(right.mean))
    higher_is_better = metric in _JUDGED or METRICS[metric].better_is == "higher"
    conclusion = _conclude(comparison, least, significance, higher_is_better=higher_is_better)
    return Line(metric, baseline, left.mean, right.mean, comparison, conclusion)


def _conclude(
    comparison: Comparison, least_change: float, significance: float, *, higher_is_better: bool
) -> Conclusion:
    gap = comparison.difference
    certain = (gap.low > 0 or gap.high < 0) and comparison.p_value < significance
    if not certain or abs(gap.mean) < least_change:
        return "no_significant_change"
    return "better" if (gap.mean > 0) == higher_is_better else "worse"


def decisive_of(lines: Sequence[Line], baseline: Baseline) -> Line | None:
    """The line that decides against this baseline: graded answers before judges; nothing else decides."""
    return next(
        (
            li
            for metric in ("exact_match", JUDGE_METRIC)
            for li in lines
            if (li.metric, li.baseline) == (metric, baseline)
        ),
        None,
    )
