"""Guided self-teaching: what the untrained student would write with the guide before its eyes, as a signal.

In: the untrained model, and for every prompt the same prompt with the guide. Out: the clipped divergence of each
completion token. The copy is read in inference mode; with adapters it is the same model with them switched off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from opd.objectives.divergence import Head, head_of
from opd.objectives.guided import clipped_jsd
from opd.training.models import backbone_of, causal_lm_of
from opd.training.signals import BatchLoss
from opd.training.timing import PhaseClock
from opd.training.window import MicroBatch, Row, hidden_states, pad_rows

Ids = tuple[int, ...]


class GuidedSelf:
    """See `opd.training.signals.Signal`.

    Args:
        untrained: the student as it was; for a student with adapters the same model that is trained.
        guided: prompt ids → the ids of the same prompt with the guide.
    """

    def __init__(self, untrained: Any, guided: Mapping[Ids, Ids], *, pad_id: int, beta: float, clip: float):
        self._untrained, self._guided, self._pad_id, self._beta, self._clip = untrained, guided, pad_id, beta, clip

    def score(self, rows: Sequence[Row]) -> None:
        """Nobody is asked: the guide was written before."""

    def loss(self, batch: MicroBatch, hidden_NS: Tensor, head: Head, divisor: float, clock: PhaseClock) -> BatchLoss:
        """See `Signal`."""
        rows = [replace(row, prompt_ids=self._guided[row.prompt_ids]) for row in batch.rows]
        with clock("teacher"), torch.no_grad(), self._as_it_was():
            guided = hidden_states(backbone_of(self._untrained), pad_rows(rows, self._pad_id, hidden_NS.device))
            guided_head = head_of(causal_lm_of(self._untrained))
        with clock("loss"):
            loss, _ = clipped_jsd(
                hidden_NS, head, guided, guided_head, beta=self._beta, clip=self._clip, divisor=divisor
            )
            entropy_N = _entropies(hidden_NS.detach(), head)
        return BatchLoss(loss, None, entropy_N, None)

    def _as_it_was(self) -> AbstractContextManager[Any]:
        return self._untrained.disable_adapter() if hasattr(self._untrained, "peft_config") else nullcontext()


def _entropies(hidden_NS: Tensor, head: Head) -> Tensor:
    from opd.objectives.chunked import chunked_loss

    def entropy(logits_CV: Tensor, _: slice) -> Tensor:
        log_q = torch.log_softmax(logits_CV, dim=-1)
        return -(log_q.exp() * log_q).sum(-1)

    with torch.no_grad():
        return chunked_loss(hidden_NS, head, entropy, divisor=1.0)[1]
