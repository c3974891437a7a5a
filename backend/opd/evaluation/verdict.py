"""Did it help? From the evaluations to one answer, with the evidence and a recommendation.

In: results of before and after, and of the imitation baseline (sft) and the teacher where they were measured; judge
scores where there are any; alarms of the run. Out: `VerdictReached`. Knows nothing of models or files.

When a change is called (`lines.py`), all three must hold:

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
from typing import Literal

from opd.evaluation import wording
from opd.evaluation.gates import closed_gates
from opd.evaluation.judge import Judgement, record
from opd.evaluation.lines import (
    JUDGE_METRIC,
    NOBODY,
    RUBRIC_METRIC,
    SIGNIFICANCE,
    Conclusion,
    Line,
    compare_all,
    compare_one,
    decisive_of,
)
from opd.evaluation.recommendation import Recommendation, recommend
from opd.evaluation.results import Evaluation
from opd.evaluation.statistics import detectable_difference, num_prompts_needed
from opd.evaluation.summary import Subject, per_prompt
from opd.events import AlarmRaised, VerdictReached

_ORDER: tuple[Conclusion, ...] = ("worse", "no_significant_change", "better")


def reach_verdict(
    evaluations: Mapping[Subject, Evaluation],
    *,
    judged: Judgement = NOBODY,
    checkpoints: Mapping[int, Evaluation] | None = None,
    remarks: Sequence[str] = (),
    alarms: Sequence[AlarmRaised] = (),
    baseline_name: str = "tuned imitation",
    seed: int = 0,
) -> VerdictReached:
    """Whether the student after training is better than before, per metric and over all.

    Args:
        evaluations: by subject; before and after are needed for any conclusion.
        judged: what a judge said of the answers, where one was asked.
        checkpoints: earlier ones of the run that were measured, by step; one may be recommended, none decides.
        remarks: what else is to be said of the measurement.
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
    lines = compare_all(evaluations, judged, seed)
    decisive = decisive_of(lines, "before")
    gates = closed_gates(evaluations, decisive, lines)
    conclusion: Literal["better", "no_significant_change", "worse", "not_measured"] = "not_measured"
    if decisive:
        conclusion = _ORDER[max(0, _ORDER.index(decisive.conclusion) - 1)] if gates else decisive.conclusion
    sft = decisive_of(lines, "sft")
    sft_gain = compare_one(evaluations, NOBODY, "exact_match", "before", "sft", seed)
    advice = recommend(evaluations, checkpoints or {}, conclusion, decisive, sft, sft_gain, seed)
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
            *_checkpoint_notes(advice),
            *remarks,
            *[wording.alarm(alarm) for alarm in alarms if alarm.severity == "critical"],
        ],
        recommended=advice.artefact,
        recommended_step=advice.step,
    )


def _headline(
    evaluations: Mapping[Subject, Evaluation],
    lines: Sequence[Line],
    decisive: Line | None,
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


def _regime_notes(sft: Line | None, sft_gain: Line | None, conclusion: str, baseline_name: str) -> list[str]:
    if sft is None:
        return []
    gap, after_helps = sft.comparison.difference, conclusion == "better"
    if sft.conclusion == "no_significant_change" and gap.mean > 0 and after_helps:
        needed = num_prompts_needed(gap.mean, sft.comparison.spread, significance=SIGNIFICANCE)
        return [wording.lead_not_established(baseline_name, gap, needed)]
    # Where a judge decides, imitation was only compared with the trained student; winning that is what it can show.
    sft_helps = sft_gain.conclusion == "better" if sft_gain else after_helps
    return [wording.regime(sft.conclusion, baseline_name, gap, after_helps=after_helps, sft_helps=sft_helps)]


def _teacher_notes(evaluations: Mapping[Subject, Evaluation], decisive: Line | None) -> list[str]:
    if decisive is None or decisive.metric != "exact_match" or "teacher" not in evaluations:
        return []
    teacher = per_prompt(evaluations["teacher"], "exact_match")
    if not len(teacher):
        return []
    return [wording.teacher_level(teacher.mean, decisive.left, decisive.right)]


def _evidence_notes(decisive: Line | None) -> list[str]:
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


def _divergence_notes(lines: Sequence[Line], decisive: Line | None) -> list[str]:
    kl = next((line for line in lines if (line.metric, line.baseline) == ("reverse_kl", "before")), None)
    if kl is None or kl.left >= kl.right or (decisive is not None and decisive.conclusion == "better"):
        return []
    return [wording.falling_kl(kl.right, kl.left, is_decided=decisive is not None)]


def _judge_notes(judged: Judgement, lines: Sequence[Line]) -> list[str]:
    """How the judge judged, and where it contradicts what was graded, its rubric included."""
    notes = [wording.judge_record(judged.judge, against, record(scores)) for against, scores in judged.pairs.items()]
    said = {line.metric: line.conclusion for line in lines if line.baseline == "before"}
    preferred = said.get(JUDGE_METRIC)
    contradicted = [m for m in ("exact_match", RUBRIC_METRIC) if {preferred, said.get(m)} == {"better", "worse"}]
    return notes + [wording.judge_disagrees(preferred == "better", metric) for metric in contradicted]


def _checkpoint_notes(advice: Recommendation) -> list[str]:
    if advice.step is None or advice.lead is None:
        return []
    return [wording.checkpoint(advice.step, advice.lead.left, advice.lead.right, advice.lead.comparison.difference)]
