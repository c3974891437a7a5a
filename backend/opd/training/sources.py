"""Where the rows of a window come from when the teacher only answers.

A source makes the rows that a step trains on; a `Desk` (the trainer) lets it sample from the student as it is now and
measure how likely it finds a text. What a row teaches is said by the weights of its tokens.

Legend: T completion tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from opd.objectives.divergence import head_of
from opd.objectives.likelihood import negative_log_likelihood
from opd.training.decoding import Completion
from opd.training.models import backbone_of, causal_lm_of
from opd.training.plan import PlannedRow
from opd.training.window import Row, hidden_states, split_window

_TOKENS_AT_ONCE = 16384


class Desk(Protocol):
    """What a source may ask of the student as it is at this step."""

    def complete(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> list[Completion]:
        """One sampled completion a prompt."""
        ...

    def logprobs(self, rows: Sequence[Row]) -> list[Tensor]:
        """Log-probability (T,) of every completion token of each row, nats, without gradient."""
        ...


class RowSource(Protocol):
    """Makes the rows of each step."""

    def rows(self, step: int, planned: Sequence[PlannedRow], desk: Desk) -> list[Row]:
        """Rows of the 0-based `step`; the same for the same step and student, however often a run resumes."""
        ...

    def metrics(self) -> dict[str, float | None]:
        """What there is to say about the rows made last."""
        ...


@torch.no_grad()
def logprobs_of(model: Any, rows: Sequence[Row], *, pad_id: int, max_rows: int | None = None) -> list[Tensor]:
    """Log-probability (T,) of every completion token of each row under this model, nats, in the rows' order."""
    device = next(model.parameters()).device
    places = {id(row): place for place, row in enumerate(rows)}
    found: list[Tensor] = [torch.zeros(0)] * len(rows)
    was_training = model.training
    model.eval()
    try:
        for batch in split_window(rows, pad_id=pad_id, device=device, max_rows=max_rows, max_tokens=_TOKENS_AT_ONCE):
            hidden = hidden_states(backbone_of(model), batch)
            _, nll_N, _ = negative_log_likelihood(hidden, head_of(causal_lm_of(model)), batch.targets_N, divisor=1.0)
            lengths = [len(row.completion.ids) for row in batch.rows]
            for row, part in zip(batch.rows, nll_N.cpu().split(lengths), strict=True):
                found[places[id(row)]] = -part
    finally:
        model.train(was_training)
    return found
