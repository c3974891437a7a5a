"""Did it help? From the evaluations to one answer, with the evidence and a recommendation.

In: results of before and after, and of the imitation baseline (sft) and the teacher where they were measured; judge
scores where there are any; alarms of the run. Out: `VerdictReached`. Knows nothing of models or files.

When a change is called (`_conclude`), all three must hold:

1. The paired 95 % interval excludes 0: what is shown and what is said agree.
2. The sign-flip test by prompt gives p < 0.01. The interval alone calls a change in 1 of 20 runs that changed nothing,
   and bootstrap intervals are too sure of themselves when only a few prompts differ; the test is exact, needs at least
   8 changed prompts all one way, and errs in at most 1 of 100 runs.
3. The difference is at least the metric's `least_change` (1 point for shares): with very many prompts a difference can
   be certain and still not matter.

What decides: graded answers where prompts have them, else a pairwise judge. Divergence from the teacher never decides:
it can fall while answers get worse. Health gates lower the conclusion by one step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from opd.evaluation import wording
from opd.evaluation.judge import Judgement, record
from opd.evaluation.results import Evaluation
from opd.evaluation.statistics import (
    Comparison,
    PerPrompt,
    compare,
    detectable_difference,
    num_prompts_needed,
)
from opd.evaluation.summary import METRICS, Subject, per_prompt
from opd.events import AlarmRaised, VerdictLine, VerdictReached

SIGNIFICANCE = 0.01
JUDGE_METRIC, RUBRIC_METRIC = "judge_win_rate", "rubric_score"
Conclusion = Literal["better", "no_significant_change", "worse"]
Baseline = Literal["before", "sft"]
_BASELINES: tuple[Baseline, ...] = ("before", "sft")
_JUDGED = frozenset({JUDGE_METRIC, RUBRIC_METRIC})
_JUDGE_LEAST_CHANGE = 0.01
_NOBODY = Judgement()
# A gate closes when a harm rose by this much to at least this level: small enough to protect, large enough that a few
# truncated answers do not take away a real gain.
_GATE_RISE, _GATE_LEVEL = 0.10, 0.15
_LENGTH_FACTOR = 2.0
_ORDER: tuple[Conclusion, ...] = ("worse", "no_significant_change", "better")


@dataclass(frozen=True)
class _Line:
    """A verdict line with what the notes need."""

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


def reach_verdict(
    evaluations: Mapping[Subject, Evaluation],
    *,
    judged: Judgement = _NOBODY,
    alarms: Sequence[AlarmRaised] = (),
    baseline_name: str = "tuned imitation",
    seed: int = 0,
) -> VerdictReached:
    """Whether the student after training is better than before, per metric and over all.

    Args:
        evaluations: by subject; before and after are needed for any conclusion.
        judged: what a judge said of the answers, where one was asked.
        alarms: raised in the run; the critical ones are repeated in the notes.
        baseline_name: what the sft baseline is called in sentences.
    """
    if "before" not in evaluations or "after" not in evaluations:
        missing = " and ".join(s for s in ("before", "after") if s not in evaluations)
        return VerdictReached(
            conclusion="not_measured",
            headline=f"Not measured: there is no evaluation of the student {missing} training.",
            notes=["Keep evaluation.enabled on and hold out prompts to get a verdict."],
        )
    lines = _lines(evaluations, judged, seed)
    decisive = _decisive(lines, "before")
    gates = _gates(evaluations, decisive, lines)
    conclusion: Literal["better", "no_significant_change", "worse", "not_measured"] = "not_measured"
    if decisive:
        conclusion = _ORDER[max(0, _ORDER.index(decisive.conclusion) - 1)] if gates else decisive.conclusion
    sft = _decisive(lines, "sft")
    sft_gain = _line(evaluations, _NOBODY, "exact_match", "before", "sft", seed)
    return VerdictReached(
        conclusion=conclusion,
        headline=_headline(evaluations, lines, decisive, conclusion, gates, baseline_name),
        lines=[line.event() for line in lines],
        notes=[
            *gates,
            *_regime_notes(sft, sft_gain, conclusion, baseline_name),
            *_teacher_notes(evaluations, decisive),
            *_evidence_notes(decisive),
            *_divergence_notes(lines, decisive),
            *_judge_notes(judged, lines),
            *[wording.alarm(alarm) for alarm in alarms if alarm.severity == "critical"],
        ],
        recommended=_recommend(conclusion, decisive, sft, sft_gain),
    )


def _lines(evaluations: Mapping[Subject, Evaluation], judged: Judgement, seed: int) -> list[_Line]:
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
        if (line := _line(evaluations, judged, metric, baseline, "after", seed))
    ]
    quiet = {"truncated", "repeated", "refused"}
    return [line for line in found if line.metric not in quiet or line.left > 0 or line.right > 0]


def _line(
    evaluations: Mapping[Subject, Evaluation],
    judged: Judgement,
    metric: str,
    baseline: Baseline,
    subject: Subject,
    seed: int,
) -> _Line | None:
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
    conclusion = _conclude(comparison, least, higher_is_better=higher_is_better)
    return _Line(metric, baseline, left.mean, right.mean, comparison, conclusion)


def _conclude(comparison: Comparison, least_change: float, *, higher_is_better: bool) -> Conclusion:
    gap = comparison.difference
    certain = (gap.low > 0 or gap.high < 0) and comparison.p_value < SIGNIFICANCE
    if not certain or abs(gap.mean) < least_change:
        return "no_significant_change"
    return "better" if (gap.mean > 0) == higher_is_better else "worse"


def _decisive(lines: Sequence[_Line], baseline: Baseline) -> _Line | None:
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


def _gates(evaluations: Mapping[Subject, Evaluation], decisive: _Line | None, lines: Sequence[_Line]) -> list[str]:
    """Why the conclusion is lowered; empty when the student is healthy."""
    closed = [
        wording.gate(line.metric, line.left, line.right)
        for line in lines
        if line.metric in ("truncated", "repeated", "refused")
        and line.baseline == "before"
        and line.conclusion == "worse"
        and line.left - line.right >= _GATE_RISE
        and line.left >= _GATE_LEVEL
    ]
    before, after = (per_prompt(evaluations[s], "completion_tokens") for s in _BEFORE_AFTER)
    # Longer answers are no harm where answers are graded; a judge, though, likes length for its own sake.
    by_judge = decisive is not None and decisive.metric == JUDGE_METRIC
    if by_judge and len(before) and len(after) and after.mean >= _LENGTH_FACTOR * before.mean:
        teacher = per_prompt(evaluations["teacher"], "completion_tokens") if "teacher" in evaluations else None
        if teacher is None or not len(teacher) or after.mean > 1.5 * teacher.mean:
            closed.append(wording.length_gate(after.mean, before.mean))
    return closed


_BEFORE_AFTER: tuple[Subject, Subject] = ("before", "after")


def _headline(
    evaluations: Mapping[Subject, Evaluation],
    lines: Sequence[_Line],
    decisive: _Line | None,
    conclusion: Literal["better", "no_significant_change", "worse", "not_measured"],
    gates: Sequence[str],
    baseline_name: str,
) -> str:
    if decisive is None:
        kl = next((li for li in lines if (li.metric, li.baseline) == ("reverse_kl", "before")), None)
        return wording.not_measured((kl.right, kl.left) if kl else None)
    if decisive.metric == JUDGE_METRIC:
        sentence = wording.judge_headline(decisive.left, decisive.comparison.difference)
    else:
        sft = per_prompt(evaluations["sft"], "exact_match") if "sft" in evaluations else None
        sentence = wording.share_headline(
            decisive.left,
            decisive.right,
            decisive.comparison.difference,
            baseline_name,
            sft.mean if sft is not None and len(sft) else None,
        )
    return wording.headline(conclusion, decisive.conclusion, sentence, gates)


def _regime_notes(sft: _Line | None, sft_gain: _Line | None, conclusion: str, baseline_name: str) -> list[str]:
    if sft is None:
        return []
    gap, after_helps = sft.comparison.difference, conclusion == "better"
    if sft.conclusion == "no_significant_change" and gap.mean > 0 and after_helps:
        needed = num_prompts_needed(gap.mean, sft.comparison.spread, significance=SIGNIFICANCE)
        return [wording.lead_not_established(baseline_name, gap, needed)]
    # Where a judge decides, imitation was only compared with the trained student; winning that is what it can show.
    sft_helps = sft_gain.conclusion == "better" if sft_gain else after_helps
    return [wording.regime(sft.conclusion, baseline_name, gap, after_helps=after_helps, sft_helps=sft_helps)]


def _teacher_notes(evaluations: Mapping[Subject, Evaluation], decisive: _Line | None) -> list[str]:
    if decisive is None or decisive.metric != "exact_match" or "teacher" not in evaluations:
        return []
    teacher = per_prompt(evaluations["teacher"], "exact_match")
    if not len(teacher):
        return []
    return [wording.teacher_level(teacher.mean, decisive.left, decisive.right)]


def _evidence_notes(decisive: _Line | None) -> list[str]:
    """How much the held-out prompts can tell, and how many would tell more."""
    if decisive is None:
        return []
    gap, spread = decisive.comparison.difference, decisive.comparison.spread
    notes = []
    if decisive.conclusion == "no_significant_change":
        if spread > 0:
            seen = detectable_difference(gap.num, spread, significance=SIGNIFICANCE)
            needed = num_prompts_needed(gap.mean, spread, significance=SIGNIFICANCE)
            notes.append(wording.too_few_prompts(gap, seen, needed))
        if gap.low > 0 or gap.high < 0:
            notes.append(wording.suggestive(decisive.comparison.p_value))
    return notes


def _divergence_notes(lines: Sequence[_Line], decisive: _Line | None) -> list[str]:
    kl = next((line for line in lines if (line.metric, line.baseline) == ("reverse_kl", "before")), None)
    if kl is None or kl.left >= kl.right or (decisive is not None and decisive.conclusion == "better"):
        return []
    return [wording.falling_kl(kl.right, kl.left, is_decided=decisive is not None)]


def _judge_notes(judged: Judgement, lines: Sequence[_Line]) -> list[str]:
    """How the judge judged, and where it contradicts what was graded, its rubric included."""
    notes = [wording.judge_record(judged.judge, against, record(scores)) for against, scores in judged.pairs.items()]
    said = {line.metric: line.conclusion for line in lines if line.baseline == "before"}
    preferred = said.get(JUDGE_METRIC)
    contradicted = [m for m in ("exact_match", RUBRIC_METRIC) if {preferred, said.get(m)} == {"better", "worse"}]
    return notes + [wording.judge_disagrees(preferred == "better", metric) for metric in contradicted]


def _recommend(
    conclusion: str, decisive: _Line | None, sft: _Line | None, sft_gain: _Line | None
) -> Literal["before", "sft", "after"]:
    """The artefact with the best held-out evidence: the cheaper of equals, and without evidence what was there before.

    `sft` compares after with sft, `sft_gain` sft with before.
    """
    if decisive is None:
        return "after"
    sft_helps = sft_gain is not None and sft_gain.conclusion == "better"
    if conclusion != "better":
        return "sft" if sft_helps else "before"
    sft_wins = sft is not None and sft.conclusion == "worse"
    sft_ties = sft is not None and sft.conclusion != "better" and sft.comparison.difference.mean <= 0
    return "sft" if sft_wins or (sft_ties and sft_helps) else "after"
