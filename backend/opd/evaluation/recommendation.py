"""Which model of a run to take: the best of what was trained, by held-out evidence; the cheaper of equals.

In: evaluations and their comparison. Out: a `Recommendation`. What it names is what export and serve take.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from opd.evaluation.gates import closed_gates
from opd.evaluation.lines import NOBODY, SIGNIFICANCE, Line, compare_all, compare_one, decisive_of
from opd.evaluation.results import Evaluation
from opd.evaluation.summary import Subject
from opd.events import VerdictReached
from opd.store.runs import RunFolder

Artefact = Literal["before", "sft", "checkpoint", "after"]


@dataclass(frozen=True)
class Recommendation:
    """What to take. `step` and `lead`, over what would be taken without it, are those of an earlier checkpoint."""

    artefact: Artefact
    step: int | None = None
    lead: Line | None = None


def recommend(
    evaluations: Mapping[Subject, Evaluation],
    checkpoints: Mapping[int, Evaluation],
    conclusion: str,
    decisive: Line | None,
    sft: Line | None,
    sft_gain: Line | None,
    seed: int,
) -> Recommendation:
    """The artefact with the best evidence, and without evidence what was there before.

    Args:
        decisive: after against before; sft: after against sft; sft_gain: sft against before.
    """
    if decisive is None:
        return Recommendation("after")
    rival = _without_checkpoints(conclusion, sft, sft_gain)
    leads = {
        step: lead
        for step, found in checkpoints.items()
        if (lead := _lead(evaluations, found, rival, SIGNIFICANCE / len(checkpoints), seed))
    }
    if not leads:
        return Recommendation(rival)
    step = max(leads, key=lambda one: (leads[one].left, one))
    return Recommendation("checkpoint", step, leads[step])


def _without_checkpoints(conclusion: str, sft: Line | None, sft_gain: Line | None) -> Literal["before", "sft", "after"]:
    sft_helps = sft_gain is not None and sft_gain.conclusion == "better"
    if conclusion != "better":
        return "sft" if sft_helps else "before"
    sft_wins = sft is not None and sft.conclusion == "worse"
    sft_ties = sft is not None and sft.conclusion != "better" and sft.comparison.difference.mean <= 0
    return "sft" if sft_wins or (sft_ties and sft_helps) else "after"


def _lead(
    evaluations: Mapping[Subject, Evaluation],
    checkpoint: Evaluation,
    rival: Literal["before", "sft", "after"],
    significance: float,
    seed: int,
) -> Line | None:
    """A checkpoint's lead over the rival: proven with every checkpoint that was tried counted, and in good health."""
    against_rival: dict[Subject, Evaluation] = {"before": evaluations[rival], "after": checkpoint}
    against_before: dict[Subject, Evaluation] = {"before": evaluations["before"], "after": checkpoint}
    lead, gain = (
        compare_one(pair, NOBODY, "exact_match", "before", "after", seed, significance=significance)
        for pair in (against_rival, against_before)
    )
    if lead is None or gain is None or {lead.conclusion, gain.conclusion} != {"better"}:
        return None
    lines = compare_all(against_before, NOBODY, seed)
    return None if closed_gates(against_before, decisive_of(lines, "before"), lines) else lead


def learned_of(run: RunFolder, verdict: VerdictReached | None) -> Path | None:
    """Folder with the learned weights of what is recommended; None where that is the trained student."""
    if verdict is None or verdict.recommended in ("before", "after"):
        return None
    if verdict.recommended == "checkpoint":
        return run.checkpoints_path / f"step-{verdict.recommended_step:06d}"
    return run.path / ("baseline" if run.config().baseline.enabled else "warm_start")
