"""One optimizer window: rows of prompt and completion, and their division into micro-batches.

In: planned rows, prompts, the student, cached teacher answers. Out: `Row`s with token ids, and `MicroBatch`es of
padded ids with the positions whose next token is scored. Rows are sorted by length first, so little is padding, and
padded on the right: under a causal mask nothing can see it, so no row's result depends on its neighbours.

Legend: B rows of a micro-batch, L its padded length, N scored tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from opd.training.decoding import Completion


@dataclass(frozen=True)
class Row:
    """A prompt and a completion. `on_policy`: the student wrote it, else the teacher did.

    Attributes:
        weights: what each completion token counts in a weighted likelihood, of either sign; None: 1.
        branch: goes off from the middle of another row of the window (a correction), and is no row of the plan itself.
    """

    prompt_ids: tuple[int, ...]
    completion: Completion
    on_policy: bool
    weights: tuple[float, ...] | None = None
    branch: bool = False

    @property
    def num_tokens(self) -> int:
        return len(self.prompt_ids) + len(self.completion.ids)

    @property
    def num_counted(self) -> int:
        """Tokens that the window's mean is taken over: those that should become likelier."""
        return len(self.completion.ids) if self.weights is None else sum(weight > 0 for weight in self.weights)


@dataclass(frozen=True)
class MicroBatch:
    """Rows that go through the models together."""

    input_ids_BL: Tensor
    attention_mask_BL: Tensor
    scored_N: Tensor
    """Flat positions (row · L + column) whose *next* token is a completion token."""
    targets_N: Tensor
    """That next token."""
    on_policy_N: Tensor
    """Whether the student wrote it."""
    rows: tuple[Row, ...]
    weights_N: Tensor | None = None
    """What it counts in a weighted likelihood; None: 1 each."""

    def take(self, hidden_BLH: Tensor) -> Tensor:
        """Hidden states at the scored positions, (N, H)."""
        return hidden_BLH.reshape(-1, hidden_BLH.shape[-1])[self.scored_N]


def split_window(
    rows: Sequence[Row],
    *,
    pad_id: int,
    device: torch.device,
    max_rows: int | None = None,
    max_tokens: int | None = None,
) -> list[MicroBatch]:
    """Rows sorted by length and cut into micro-batches of at most `max_rows` rows and `max_tokens` padded tokens."""
    ordered = sorted((row for row in rows if row.completion.ids), key=lambda row: -row.num_tokens)
    batches: list[MicroBatch] = []
    first = 0
    while first < len(ordered):
        width = ordered[first].num_tokens
        fitting = len(ordered) - first
        if max_rows is not None:
            fitting = min(fitting, max_rows)
        if max_tokens is not None:
            fitting = max(1, min(fitting, max_tokens // width))
        batches.append(pad_rows(ordered[first : first + fitting], pad_id, device))
        first += fitting
    return batches


def pad_rows(rows: Sequence[Row], pad_id: int, device: torch.device) -> MicroBatch:
    """These rows, in this order, padded on the right to one width."""
    width = max(row.num_tokens for row in rows)
    ids: list[list[int]] = []
    mask: list[list[int]] = []
    scored: list[int] = []
    targets: list[int] = []
    on_policy: list[bool] = []
    weights: list[float] = []
    for index, row in enumerate(rows):
        tokens = [*row.prompt_ids, *row.completion.ids]
        ids.append(tokens + [pad_id] * (width - len(tokens)))
        mask.append([1] * len(tokens) + [0] * (width - len(tokens)))
        start = index * width + len(row.prompt_ids) - 1
        scored.extend(range(start, start + len(row.completion.ids)))
        targets.extend(row.completion.ids)
        on_policy.extend([row.on_policy] * len(row.completion.ids))
        weights.extend(row.weights if row.weights is not None else [1.0] * len(row.completion.ids))
    return MicroBatch(
        input_ids_BL=torch.tensor(ids, device=device),
        attention_mask_BL=torch.tensor(mask, device=device),
        scored_N=torch.tensor(scored, device=device),
        targets_N=torch.tensor(targets, device=device),
        on_policy_N=torch.tensor(on_policy, device=device),
        rows=tuple(rows),
        weights_N=torch.tensor(weights, device=device) if any(row.weights is not None for row in rows) else None,
    )


def hidden_states(backbone: torch.nn.Module, batch: MicroBatch) -> Tensor:
    """Hidden states (N, H) at the scored positions: what enters the output head."""
    # Right padding needs no mask under causal attention; without one, attention takes its fastest path.
    output = backbone(input_ids=batch.input_ids_BL, attention_mask=None, use_cache=False)
    return batch.take(output.last_hidden_state)
