"""The teacher's side: its laws over its own tokens become mass on columns of the student's tokens.

In: the laws at the teacher's tokens, a `Chunk`. Out: `Target`. No gradient flows here.

Legend: C positions of a chunk, V student vocabulary, U teacher vocabulary, M laws, B = V + 1 columns (the last is the
rest).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from opd.objectives.alignment.chunk import Chunk
from opd.objectives.alignment.correspondence import Correspondence
from opd.objectives.alignment.walk import NONE

# Where the teacher's last token could have gone on, the target weighs masses of that one law against each other. If it
# held all of them for impossible, they are the noise of a softmax's far tail: below this total nothing is scored.
IMPOSSIBLE = 1e-8
TINY = 1e-30


class Laws(Protocol):
    """The teacher's next-token laws at its own tokens, all completions end to end."""

    @property
    def complete(self) -> bool:
        """False where only some tokens' probabilities are known."""
        ...

    def probabilities(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Laws start…stop: probabilities (M', U), zero where unknown, and the unknown mass (M',)."""
        ...


class FullLaws:
    """Laws of a local teacher: logits (M, U)."""

    complete = True

    def __init__(self, logits_MU: Tensor):
        self._logits_MU = logits_MU

    def probabilities(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """See `Laws`."""
        probabilities = torch.softmax(at_least_float32(self._logits_MU[start:stop]), dim=-1)
        return probabilities, probabilities.new_zeros(stop - start)


class ListedLaws:
    """Laws of a scoring server: the tokens it listed (the observed one among them) and their log-probabilities.

    Rows are padded with id -1. What is not listed is unknown, and treated as such.
    """

    complete = False

    def __init__(self, ids_MK: Tensor, logprobs_MK: Tensor, vocab_size: int):
        self._ids_MK, self._logprobs_MK, self._vocab_size = ids_MK, logprobs_MK, vocab_size

    def probabilities(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """See `Laws`."""
        ids, logprobs = self._ids_MK[start:stop], at_least_float32(self._logprobs_MK[start:stop])
        listed = logprobs.masked_fill(ids < 0, -torch.inf).exp()
        table = listed.new_zeros(stop - start, self._vocab_size)
        table.scatter_add_(1, ids.clamp_min(0), listed)
        return table, (1 - listed.sum(-1)).clamp_min(0.0)


@dataclass(frozen=True)
class Target:
    """What the teacher says about each position, before division by its total."""

    mass_CB: Tensor
    total_C: Tensor
    own_C: Tensor
    """Mass of the student's own column, with what is joined to it."""
    scored_C: Tensor
    emptied: Tensor
    """(3, ·): position, law, column that has lost mass to exclusion: what is left is a difference of large numbers."""
    reach_C: Tensor
    """Probability of the teacher token before a position at a common boundary; 1 elsewhere."""
    probabilities_MU: Tensor
    unknown_M: Tensor
    complete: bool


@torch.no_grad()
def make_target(maps: Correspondence, chunk: Chunk, laws: Laws, student_CV: Tensor) -> Target:
    """The teacher's mass on every column: what goes on, plus what follows if the last token ends here.

    At a common boundary the second part is reach · next law; inside an observed token it has no law of its own (the
    teacher read on), and all of it is the rest.

    Args:
        student_CV: for the vocabulary's size and the number format.
    """
    width = student_CV.shape[1] + 1
    known, tail = laws.probabilities(chunk.first_law, chunk.last_law)
    table, unknown = known.to(student_CV.dtype), tail.to(student_CV.dtype)
    num, device = chunk.planned.shape[0], table.device
    mass = table.new_zeros(num, width)
    reach = table.new_ones(num)
    here = (chunk.base != NONE) & (chunk.anchor != NONE)
    reach[here] = table[chunk.anchor[here], chunk.anchor_token[here]]
    for at_start in (False, True):
        rows = ((chunk.base != NONE) & (chunk.at_start == at_start)).nonzero().squeeze(-1)
        if len(rows) == 0:
            continue
        columns = maps.static(at_start).tensors(device).teacher_column
        law = chunk.base[rows]
        mass[rows] = sum_columns(table[law], columns, width).mul_(reach[rows].unsqueeze(-1))
        mass[rows, -1] += reach[rows] * unknown[law]
    place, law, token, column = chunk.extension
    mass.index_put_((place, column), table[law, token], accumulate=True)
    place, law, token = chunk.ends_here
    mass.index_put_((place, torch.full_like(place, width - 1)), table[law, token], accumulate=True)
    place, law, token = chunk.excluded
    columns = maps.static(False).tensors(device).teacher_column[token]
    mass.index_put_((place, columns), -reach[place] * table[law, token], accumulate=True)
    mass.clamp_min_(0.0)
    total = mass.sum(-1)
    # A column exists by its mass: one that has been emptied differs from one that nothing is known about.
    emptied = torch.stack([place, law, columns])
    mass[place, columns] += TINY
    place, column, into = chunk.joined
    mass[place, into] += TINY
    own = mass.gather(-1, chunk.observed.unsqueeze(-1)).squeeze(-1)
    mine = into == chunk.observed[place]
    own.index_add_(0, place[mine], mass[place[mine], column[mine]])
    extendable = torch.zeros(num, dtype=torch.bool, device=device)
    extendable[chunk.extendable] = True
    scored = chunk.planned & (total > torch.where(extendable, IMPOSSIBLE, TINY))
    if not laws.complete:
        # Whatever is not listed may be a longer token that goes on from here. Where that could outweigh all that is
        # listed, the listed part is no evidence: after an unlikely token it would be the observed token alone, and
        # the student's slip would be confirmed with probability one.
        scored &= ~(extendable & (unknown[chunk.anchor.clamp_min(0)] > total))
    return Target(mass, total, own, scored, emptied, reach, table, unknown, laws.complete)


def sum_columns(values_RU: Tensor, columns_U: Tensor, width: int) -> Tensor:
    """Add up values of equal column: (R, U) to (R, width). Along rows of the transpose, which is contiguous work."""
    sums = values_RU.new_zeros(width, values_RU.shape[0])
    return sums.index_add_(0, columns_U, values_RU.t()).t()


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision is widened; everything else is left as it is."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
