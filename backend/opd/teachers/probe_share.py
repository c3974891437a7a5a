"""How many of a student's positions a teacher with another tokenizer can speak to, on the probe's texts.

In: a `Pair`, and a scoring server's signal where there is one. Out: a share between 0 and 1. Loads torch when called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from opd.teachers.base import TeacherSignal
from opd.teachers.pair_checks import Pair
from opd.teachers.tokenizer_folder import TokenizerFolder

if TYPE_CHECKING:
    from opd.objectives.alignment import AlignmentPlan, Correspondence


def share_of_positions(pair: Pair, texts: Sequence[str]) -> float:
    """Share of the student's positions in the probe's texts that have a law to follow."""
    plan = plan_texts(pair, texts)[1]
    return len(plan.place) / plan.num_positions


def share_of_served(pair: Pair, texts: Sequence[str], signal: TeacherSignal) -> float:
    """The same with the laws that the server listed: what it leaves unknown counts as not scored."""
    import torch

    from opd.objectives.alignment import ListedLaws, alignment_losses
    from opd.teachers.tensors import stack_laws

    maps, plan = plan_texts(pair, texts)
    ids, logprobs, _ = stack_laws(signal.rows)
    laws = ListedLaws(ids, logprobs, maps.teacher.vocab_size)
    logits = torch.zeros(plan.num_positions, maps.student.vocab_size)
    found = alignment_losses(maps, plan, logits, slice(0, plan.num_positions), laws, beta=1.0)
    return float(found.scored_C.float().mean())


def plan_texts(pair: Pair, texts: Sequence[str]) -> tuple[Correspondence, AlignmentPlan]:
    """The texts as the student would write them, and where each of its tokens finds its target."""
    from opd.objectives.alignment import Correspondence, TextCodec, make_plan

    student, teacher = (
        TextCodec(side, vocab_size=max(side.facts.vocab_size, side.num_tokens), eos_ids=_ends(side))
        for side in (pair.student, pair.teacher)
    )
    maps = Correspondence(student, teacher)
    completions = [(*(student.encode(text.encode(), at_start=True) or ()), student.eos_ids[0]) for text in texts]
    return maps, make_plan(maps, completions)


def _ends(side: TokenizerFolder) -> list[int]:
    """End tokens, the template's own first."""
    first = [side.end_of_turn] if side.end_of_turn is not None else []
    return [*first, *(token for token in side.eos_ids if token not in first)]
