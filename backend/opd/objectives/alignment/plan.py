"""Where in the teacher's laws each student position finds its target, as index tensors.

In: the student's completions as token ids. Out: `AlignmentPlan`: the teacher's tokens of the same text, and flat index
tensors that say which entries of which law go into which bucket. Knows nothing of probabilities.

Legend: N student positions (all completions end to end), M teacher laws (law j of a completion is the one before its
j-th teacher token), one column of a flat tensor per entry. Flat tensors ascend in their first row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from opd.objectives.alignment.correspondence import Correspondence
from opd.objectives.alignment.maps import Tokens
from opd.objectives.alignment.walk import SplitRows, Walk


@dataclass(frozen=True)
class AlignmentPlan:
    """Index tensors of a batch. Made by `make_plan`, used by `alignment_losses`. A step is a position with a target."""

    teacher_ids: tuple[Tokens, ...]
    """For each completion the teacher's tokens of its text, its end token included where the student wrote one."""
    num_positions: int
    """N: student tokens of all completions."""
    num_laws: int
    """M: teacher tokens of all completions; the laws are expected in this order."""
    place: Tensor
    """Position of each step."""
    base: Tensor
    """Its law at a common boundary, or -1 inside a teacher token."""
    at_start: Tensor
    """Whether it is the first of its completion."""
    anchor: Tensor
    """Its law at the teacher token that holds the byte before it, or -1 at the start."""
    anchor_token: Tensor
    """The observed teacher token there."""
    observed: Tensor
    """Column of the student's own token."""
    extension: Tensor
    """(4, ·): step, law, teacher token, column: how the teacher's last token might have gone on."""
    ends_here: Tensor
    """(3, ·): step, law, teacher token: tokens that stop at the position, inside the observed one."""
    excluded: Tensor
    """(3, ·): step, law, teacher token: continuations that would have made the student's last token longer."""
    siblings: Tensor
    """(3, ·): step, student token, column: tokens inside a teacher token that are not their column's name."""
    joined: Tensor
    """(3, ·): step, column, column that it is joined to."""
    splits: tuple[SplitEntries, ...]
    """By depth."""


@dataclass(frozen=True)
class SplitEntries:
    """Splits of one depth. Segments are groups, numbered through all splits; each split's group 0 comes first."""

    step: Tensor
    law: Tensor
    parent: Tensor
    """Segment at the depth above that this split divides, or -1: the step's own column."""
    chosen: Tensor
    """Segment that holds the student's own token."""
    first: Tensor
    """Segment of each split's group 0."""
    split_of: Tensor
    """Split of each segment."""
    path: Tensor
    """(3, ·): split, law, teacher token: observed tokens between the position and the split."""
    teacher: Tensor
    """(2, ·): segment, teacher token."""
    student: Tensor
    """(2, ·): segment, student token."""


def make_plan(maps: Correspondence, completions: Sequence[Sequence[int]]) -> AlignmentPlan:
    """Read every completion once as the student wrote it and once as the teacher would."""
    walk = Walk(maps)
    for completion in completions:
        walk.completion(tuple(completion))
    steps = _columns(walk.steps, 6)
    nodes = walk.nodes
    return AlignmentPlan(
        teacher_ids=tuple(walk.teacher_ids),
        num_positions=walk.num_positions,
        num_laws=walk.num_laws,
        place=steps[0],
        base=steps[1],
        at_start=steps[2].bool(),
        anchor=steps[3],
        anchor_token=steps[4],
        observed=steps[5],
        extension=_spread([(step, law) for step, law, _ in nodes], [node.extension for *_, node in nodes], width=2),
        ends_here=_columns([(step, law, token) for step, law, node in nodes for token in node.ends_here], 3),
        excluded=_columns(walk.excluded, 3),
        siblings=_spread([(step,) for step, *_ in nodes], [node.sibling_entries for *_, node in nodes]),
        joined=_spread([(step,) for step, _ in walk.joined], [joins.entries for _, joins in walk.joined]),
        splits=tuple(_split_entries(rows) for rows in walk.depths),
    )


def _split_entries(rows: SplitRows) -> SplitEntries:
    step, law, parent, chosen, first = _columns(rows.rows, 5)
    sizes = torch.tensor([len(level.groups) for level in rows.levels])
    return SplitEntries(
        step,
        law,
        parent,
        chosen,
        first,
        torch.arange(len(sizes)).repeat_interleave(sizes),
        _columns(rows.path, 3),
        _segments([level.teacher_entries for level in rows.levels], first),
        _segments([level.student_entries for level in rows.levels], first),
    )


def _segments(entries: list[Tensor], first: Tensor) -> Tensor:
    """(group, token) of each split to (segment, token) of all."""
    sizes = torch.tensor([part.shape[1] for part in entries])
    whole = torch.cat(entries, 1)
    return torch.stack([whole[0] + first.repeat_interleave(sizes), whole[1]])


def _spread(origins: Sequence[tuple[int, ...]], entries: Sequence[Tensor], width: int = 1) -> Tensor:
    """Each origin in front of all its (2, ·) entries, end to end."""
    if not entries:
        return torch.empty(width + 2, 0, dtype=torch.long)
    sizes = torch.tensor([part.shape[1] for part in entries])
    return torch.cat([_columns(origins, width).repeat_interleave(sizes, dim=1), torch.cat(list(entries), 1)])


def _columns(rows: Sequence[tuple[int, ...]], width: int) -> Tensor:
    return torch.tensor(rows, dtype=torch.long).reshape(-1, width).t().contiguous()
