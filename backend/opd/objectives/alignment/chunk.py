"""The part of an `AlignmentPlan` that belongs to some positions, with indices counted from there.

In: a plan and a slice of its positions. Out: `Chunk`: index tensors on the losses' device, in which a position is its
place in the chunk and a law its place among `first_law`…`last_law`.

Legend: C positions of the chunk.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from opd.objectives.alignment.plan import AlignmentPlan, SplitEntries
from opd.objectives.alignment.walk import NONE


@dataclass(frozen=True)
class Chunk:
    """See `AlignmentPlan` for the fields of the same name; those of shape (C,) are filled up for every position."""

    planned: Tensor
    """Whether the plan has an entry for the position."""
    base: Tensor
    at_start: Tensor
    anchor: Tensor
    anchor_token: Tensor
    observed: Tensor
    extension: Tensor
    ends_here: Tensor
    excluded: Tensor
    siblings: Tensor
    joined: Tensor
    extendable: Tensor
    """Places at which the teacher's last token could have gone on."""
    splits: tuple[Splits, ...]
    first_law: int
    last_law: int


@dataclass(frozen=True)
class Splits:
    """`SplitEntries` of the chunk."""

    place: Tensor
    law: Tensor
    parent: Tensor
    chosen: Tensor
    first: Tensor
    split_of: Tensor
    path: Tensor
    teacher: Tensor
    student: Tensor


def cut(plan: AlignmentPlan, part: slice, device: torch.device) -> Chunk:
    """Positions part.start…part.stop of the plan."""
    low, high = _between(plan.place, part.start, part.stop)
    place = plan.place[low:high] - part.start
    num = part.stop - part.start
    laws = [plan.base[low:high], plan.anchor[low:high]]
    levels, offset = [], 0
    for depth in plan.splits:
        rows = slice(*_between(depth.step, low, high))
        laws.append(depth.law[rows])
        levels.append((depth, rows))
    used = torch.cat(laws)
    used = used[used != NONE]
    first_law, last_law = (int(used.min()), int(used.max()) + 1) if len(used) else (0, 0)

    def spread(values: Tensor, empty: int) -> Tensor:
        whole = torch.full((num,), empty, dtype=torch.long)
        whole[place] = values[low:high].long()
        return whole.to(device)

    def law_at(values: Tensor) -> Tensor:
        return torch.where(values == NONE, NONE, values - first_law)

    def entries(flat: Tensor, *, has_law: bool) -> Tensor:
        chosen = flat[:, slice(*_between(flat[0], low, high))].clone()
        chosen[0] = plan.place[chosen[0]] - part.start
        if has_law:
            chosen[1] -= first_law
        return chosen.to(device)

    planned = torch.zeros(num, dtype=torch.bool)
    planned[place] = True
    extension = entries(plan.extension, has_law=True)
    base = spread(law_at(plan.base), NONE)
    splits = []
    for depth, rows in levels:
        made, offset = _splits(plan, depth, rows, part.start, first_law, offset)
        splits.append(Splits(*(tensor.to(device) for tensor in made)))
    inside = (planned.to(device) & (base == NONE)).nonzero().squeeze(-1)
    return Chunk(
        planned=planned.to(device),
        base=base,
        at_start=spread(plan.at_start, 0).bool(),
        anchor=spread(law_at(plan.anchor), NONE),
        anchor_token=spread(plan.anchor_token, 0),
        observed=spread(plan.observed, 0),
        extension=extension,
        ends_here=entries(plan.ends_here, has_law=True),
        excluded=entries(plan.excluded, has_law=True),
        siblings=entries(plan.siblings, has_law=False),
        joined=entries(plan.joined, has_law=False),
        extendable=torch.cat([extension[0].unique(), inside]),
        splits=tuple(splits),
        first_law=first_law,
        last_law=last_law,
    )


def _splits(
    plan: AlignmentPlan, depth: SplitEntries, rows: slice, start: int, first_law: int, parent_offset: int
) -> tuple[tuple[Tensor, ...], int]:
    """One depth's splits in `rows`, renumbered; and the number that its segments were lowered by."""
    low, high = _between(depth.split_of, rows.start, rows.stop)
    paths = slice(*_between(depth.path[0], rows.start, rows.stop))
    path = depth.path[:, paths] - torch.tensor([[rows.start], [first_law], [0]])
    teacher = depth.teacher[:, slice(*_between(depth.teacher[0], low, high))]
    student = depth.student[:, slice(*_between(depth.student[0], low, high))]
    lower = torch.tensor([[low], [0]])
    parent = depth.parent[rows]
    made = (
        plan.place[depth.step[rows]] - start,
        depth.law[rows] - first_law,
        torch.where(parent == NONE, NONE, parent - parent_offset),
        depth.chosen[rows] - low,
        depth.first[rows] - low,
        depth.split_of[low:high] - rows.start,
        path,
        teacher - lower,
        student - lower,
    )
    return made, low


def _between(ascending: Tensor, low: int, high: int) -> tuple[int, int]:
    """Where values low…high lie in an ascending tensor."""
    first, last = torch.searchsorted(ascending.contiguous(), torch.tensor([low, high])).tolist()
    return first, last
