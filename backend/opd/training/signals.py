"""What a step learns from: one small class for each kind of signal, all with the same two methods.

`score(window)` is called once an optimizer window, when its completions are known (a served teacher asks the network
here); `loss(batch, hidden, head, divisor)` once a micro-batch. Both know nothing of optimizers, events or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from opd.objectives.divergence import Head, generalized_jsd, head_of
from opd.objectives.likelihood import negative_log_likelihood
from opd.training.lean_forward import reader_of
from opd.training.timing import PhaseClock
from opd.training.window import MicroBatch, Row


@dataclass(frozen=True)
class BatchLoss:
    """Loss of one micro-batch and detached float32 sums over its N scored tokens."""

    loss: Tensor
    reverse_kl_N: Tensor | None
    entropy_N: Tensor
    teacher_entropy_N: Tensor | None
    scored_N: Tensor | None = None
    """Whether a teacher with another tokenizer gave a target; None where every token gets one."""


class Signal(Protocol):
    """Where the gradient comes from."""

    def score(self, rows: Sequence[Row]) -> None: ...

    def loss(
        self, batch: MicroBatch, hidden_NS: Tensor, head: Head, divisor: float, clock: PhaseClock
    ) -> BatchLoss: ...


class LocalDistribution:
    """A local teacher with the student's tokenizer: generalized JSD over the whole vocabulary.

    Args:
        plain: read the teacher by its own forward, as a student with adapters is read. Where both are one model,
            other kernels would differ in the last bits, and Adam makes full steps of any difference, however small.
    """

    def __init__(self, teacher: Any, *, beta: float, plain: bool = False):
        self._read, self._head, self._beta = reader_of(teacher, plain=plain), head_of(teacher), beta

    def score(self, rows: Sequence[Row]) -> None:
        """Nothing to ask: the teacher is read micro-batch by micro-batch."""

    def loss(self, batch: MicroBatch, hidden_NS: Tensor, head: Head, divisor: float, clock: PhaseClock) -> BatchLoss:
        with clock("teacher"), torch.inference_mode():
            teacher_NT = self._read(batch)
        with clock("loss"):
            student_head, teacher_head = _same_vocabulary(head, self._head)
            loss, stats = generalized_jsd(
                hidden_NS, student_head, teacher_NT, teacher_head, beta=self._beta, divisor=divisor
            )
        return BatchLoss(loss, stats.reverse_kl_N, stats.entropy_N, stats.teacher_entropy_N)


class Likelihood:
    """Supervised fine-tuning on the completions, weighted where the rows say so."""

    def score(self, rows: Sequence[Row]) -> None:
        """Nothing to ask: the completions are the target."""

    def loss(self, batch: MicroBatch, hidden_NS: Tensor, head: Head, divisor: float, clock: PhaseClock) -> BatchLoss:
        with clock("loss"):
            loss, _, entropy_N = negative_log_likelihood(
                hidden_NS, head, batch.targets_N, divisor=divisor, weights_N=batch.weights_N
            )
        return BatchLoss(loss, None, entropy_N, None)


def _same_vocabulary(student: Head, teacher: Head) -> tuple[Head, Head]:
    """Cut heads that were padded to different round sizes (151,936 and 152,064, say) to the rows both have."""
    size = min(student.weight.shape[0], teacher.weight.shape[0])
    return _cut(student, size), _cut(teacher, size)


def _cut(head: Head, size: int) -> Head:
    if head.weight.shape[0] == size:
        return head
    bias = None if head.bias is None else head.bias[:size]
    return Head(head.weight[:size], bias, head.scale, head.softcap)
