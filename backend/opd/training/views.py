"""A teacher's view of a window, for teachers that are not simply a model with the student's tokenizer.

A view is told the window's rows once (a served teacher asks the network then) and gives a `Reading` of each
micro-batch: a function from the student's logits to what the teacher thinks of them. From it come the training signal
(`ViewSignal`) and, without gradient, the judgement of held-out text (`judge_rows`).

Legend: B rows, N scored tokens of a micro-batch, C tokens of a chunk, V student vocabulary. Nats throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from opd.objectives.chunked import chunked_loss
from opd.objectives.divergence import Head, head_of
from opd.training.models import backbone_of, causal_lm_of
from opd.training.signals import BatchLoss
from opd.training.timing import PhaseClock
from opd.training.window import MicroBatch, Row, hidden_states, split_window

_TOKENS_AT_ONCE = 8192  # padded tokens of one forward without gradient


@dataclass(frozen=True)
class Judged:
    """Of each of C tokens. Only `loss_C` carries gradient."""

    loss_C: Tensor
    reverse_kl_C: Tensor
    """KL(student‖teacher) as far as the teacher tells its law; an estimate from the token alone where it does not."""
    teacher_logprob_C: Tensor
    scored_C: Tensor | None = None
    """Whether a teacher with another tokenizer gave a target; None where every token gets one."""


class Reading(Protocol):
    """What a teacher thinks of a micro-batch."""

    def __call__(self, logits_CV: Tensor, part: slice) -> Judged:
        """Of the scored tokens in `part`, given the student's float32 logits there."""
        ...


class View(Protocol):
    """A teacher's view of rows."""

    def ask(self, rows: Sequence[Row]) -> None:
        """Learn what has to be asked for; once before any of these rows is read.

        Raises:
            TeacherError: a served teacher did not answer, or not about these tokens.
        """
        ...

    def read(self, batch: MicroBatch) -> Reading:
        """Its reading of a micro-batch of rows that were asked about."""
        ...


class ViewSignal:
    """See `opd.training.signals.Signal`: the loss of a view, chunk by chunk over the vocabulary."""

    def __init__(self, view: View):
        self._view = view

    def score(self, rows: Sequence[Row]) -> None:
        self._view.ask(rows)

    def loss(self, batch: MicroBatch, hidden_NS: Tensor, head: Head, divisor: float, clock: PhaseClock) -> BatchLoss:
        with clock("teacher"):
            reading = self._view.read(batch)
        kl_N, entropy_N = (hidden_NS.new_zeros(len(batch.targets_N), dtype=torch.float32) for _ in range(2))
        scored: list[Tensor] = []

        def token_loss(logits_CV: Tensor, part: slice) -> Tensor:
            judged = reading(logits_CV, part)
            kl_N[part], entropy_N[part] = judged.reverse_kl_C, _entropy(logits_CV.detach())
            scored.extend([judged.scored_C] if judged.scored_C is not None else [])
            return judged.loss_C

        with clock("loss"):
            loss, _ = chunked_loss(hidden_NS, head, token_loss, divisor=divisor)
        return BatchLoss(loss, kl_N, entropy_N, None, torch.cat(scored) if scored else None)


@dataclass(frozen=True)
class JudgedRow:
    """Of one row's T completion tokens, on the CPU."""

    reverse_kl_T: Tensor
    entropy_T: Tensor
    student_logprob_T: Tensor
    teacher_logprob_T: Tensor


@torch.no_grad()
def judge_rows(student: Any, view: View, rows: Sequence[Row], *, pad_id: int) -> list[JudgedRow]:
    """Both sides' view of every completion token. Order as given; rows without a completion get empty facts.

    Raises:
        TeacherError: as `View.ask`.
    """
    device = next(student.parameters()).device
    view.ask([row for row in rows if row.completion.ids])
    found: dict[int, JudgedRow] = {}
    was_training = student.training
    student.eval()
    try:
        # Identity tells equal rows apart, as a batch holds the very objects it was made of.
        for batch in split_window(rows, pad_id=pad_id, device=device, max_tokens=_TOKENS_AT_ONCE):
            columns = _judge_batch(student, view, batch)
            lengths = [len(row.completion.ids) for row in batch.rows]
            parts = zip(*(column.split(lengths) for column in columns), strict=True)
            found |= {id(row): JudgedRow(*part) for row, part in zip(batch.rows, parts, strict=True)}
    finally:
        student.train(was_training)
    empty = JudgedRow(*(torch.empty(0) for _ in range(4)))
    return [found.get(id(row), empty) for row in rows]


def _judge_batch(student: Any, view: View, batch: MicroBatch) -> list[Tensor]:
    columns: list[tuple[Tensor, ...]] = []
    reading, hidden = view.read(batch), hidden_states(backbone_of(student), batch)

    def look(logits_CV: Tensor, part: slice) -> Tensor:
        judged = reading(logits_CV, part)
        own_C = torch.log_softmax(logits_CV, -1).gather(-1, batch.targets_N[part].unsqueeze(-1)).squeeze(-1)
        columns.append((judged.reverse_kl_C, _entropy(logits_CV), own_C, judged.teacher_logprob_C))
        return judged.loss_C

    chunked_loss(hidden, head_of(causal_lm_of(student)), look, divisor=1.0)
    return [torch.cat(column).detach().float().cpu() for column in zip(*columns, strict=True)]


def _entropy(logits_CV: Tensor) -> Tensor:
    log_q_CV = torch.log_softmax(logits_CV, -1)
    return -(log_q_CV.exp() * log_q_CV).sum(-1)
