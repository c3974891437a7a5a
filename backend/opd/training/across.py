"""A teacher that divides text into other tokens than the student, local or served: prefix marginalisation.

In: both tokenizers' correspondence, and each prompt as the teacher's own template renders it. Out: `AcrossView`. The
mathematics is in `opd.objectives.alignment`; here texts become teacher tokens and teacher tokens become laws.

Legend: M teacher laws of a batch end to end, U teacher vocabulary, V student vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from opd.objectives.alignment import Correspondence, Laws, ListedLaws, alignment_losses, make_plan
from opd.objectives.chunked import head_logits
from opd.objectives.divergence import Head, head_of
from opd.teachers.base import Ids
from opd.training.decoding import Completion
from opd.training.lean_forward import reader_of
from opd.training.listed import Pair, ServedLaws
from opd.training.views import Judged, Reading
from opd.training.window import MicroBatch, Row, split_window


class PairLaws(Protocol):
    """The teacher's laws at the completions of pairs."""

    def ask(self, pairs: Sequence[Pair]) -> None: ...

    def laws(self, pairs: Sequence[Pair], device: torch.device) -> Laws:
        """Laws of all completion tokens, end to end over the pairs."""
        ...


class ModelLaws:
    """A model on this machine: whole laws, of which a chunk's are computed when they are needed."""

    def __init__(self, teacher: Any, *, pad_id: int):
        self._read, self._head, self._pad_id = reader_of(teacher), head_of(teacher), pad_id

    def ask(self, pairs: Sequence[Pair]) -> None:
        """Nothing to ask: the teacher is read micro-batch by micro-batch."""

    @torch.no_grad()
    def laws(self, pairs: Sequence[Pair], device: torch.device) -> Laws:
        rows = [Row(prompt, Completion(ids, True), on_policy=False) for prompt, ids in pairs]
        hidden: dict[int, Tensor] = {}
        for batch in split_window(rows, pad_id=self._pad_id, device=device):
            parts = self._read(batch).split([len(row.completion.ids) for row in batch.rows])
            hidden |= {id(row): part for row, part in zip(batch.rows, parts, strict=True)}
        width = self._head.weight.shape[1]
        found = [hidden[id(row)] for row in rows if id(row) in hidden]
        return _HeadLaws(torch.cat(found) if found else self._head.weight.new_empty(0, width), self._head)


class _HeadLaws:
    complete = True

    def __init__(self, hidden_MT: Tensor, head: Head):
        self._hidden_MT, self._head = hidden_MT, head

    def probabilities(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """See `Laws`."""
        probabilities = torch.softmax(head_logits(self._hidden_MT[start:stop], self._head), -1)
        return probabilities, probabilities.new_zeros(stop - start)


class ServedPairLaws:
    """A scoring server: the tokens that it lists, and the observed one."""

    def __init__(self, served: ServedLaws, vocab_size: int):
        self._served, self._vocab_size = served, vocab_size

    def ask(self, pairs: Sequence[Pair]) -> None:
        self._served.ask([pair for pair in pairs if pair[1]])

    def laws(self, pairs: Sequence[Pair], device: torch.device) -> Laws:
        ids, logprobs, _ = self._served.of([pair for pair in pairs if pair[1]], device)
        return ListedLaws(ids, logprobs, self._vocab_size)


class AcrossView:
    """See `opd.training.views.View`.

    Args:
        prompts: by the student's ids of a prompt, the teacher's: its own template, its own tokens.
        beta: 0 forward KL, 1 reverse KL, between them the mixture.
    """

    def __init__(self, maps: Correspondence, source: PairLaws, prompts: Mapping[Ids, Ids], *, beta: float):
        self._maps, self._source, self._prompts, self._beta = maps, source, prompts, beta

    def ask(self, rows: Sequence[Row]) -> None:
        plan = make_plan(self._maps, [row.completion.ids for row in rows])
        self._source.ask(self._pairs(rows, plan.teacher_ids))

    def read(self, batch: MicroBatch) -> Reading:
        plan = make_plan(self._maps, [row.completion.ids for row in batch.rows])
        laws = self._source.laws(self._pairs(batch.rows, plan.teacher_ids), batch.targets_N.device)

        def reading(logits_CV: Tensor, part: slice) -> Judged:
            found = alignment_losses(self._maps, plan, logits_CV, part, laws, beta=self._beta)
            return Judged(found.loss_C, found.reverse_kl_C, found.teacher_logprob_C, found.scored_C)

        return reading

    def _pairs(self, rows: Sequence[Row], teacher_ids: Sequence[Ids]) -> list[Pair]:
        return [(self._prompts[row.prompt_ids], ids) for row, ids in zip(rows, teacher_ids, strict=True)]
