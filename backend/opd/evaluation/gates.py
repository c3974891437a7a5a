"""Health gates: what lowers a conclusion although the deciding metric says otherwise.

In: evaluations and their comparison. Out: sentences, none for a healthy student.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opd.evaluation import wording
from opd.evaluation.lines import HARMS, JUDGE_METRIC, Line
from opd.evaluation.results import Evaluation
from opd.evaluation.summary import Subject, per_prompt

# A gate closes when a harm rose by this much to at least this level: small enough to protect, large enough that a few
# truncated answers do not take away a real gain.
_RISE, _LEVEL = 0.10, 0.15
_LENGTH_FACTOR = 2.0
# Nats per token of good answers to general questions: each token half as likely again is no longer a side effect.
_GENERAL_RISE = 0.4


def closed_gates(evaluations: Mapping[Subject, Evaluation], decisive: Line | None, lines: Sequence[Line]) -> list[str]:
    """Why the conclusion is lowered; empty when the student is healthy."""
    closed = [
        wording.gate(line.metric, line.left, line.right)
        for line in lines
        if line.metric in HARMS
        and line.baseline == "before"
        and line.conclusion == "worse"
        and line.left - line.right >= _RISE
        and line.left >= _LEVEL
    ]
    closed += [
        wording.general_gate(line.left, line.right)
        for line in lines
        if (line.metric, line.baseline, line.conclusion) == ("general_nll", "before", "worse")
        and line.left - line.right >= _GENERAL_RISE
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
