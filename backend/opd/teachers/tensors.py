"""A teacher's signal as tensors, end to end over all completions: what the objectives take.

Legend: N completion positions, K listed tokens (rows that list fewer are padded with id -1).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from opd.teachers.base import TokenLaws


def stack_laws(rows: Sequence[TokenLaws], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    """Ids (N, K), their log-probabilities (N, K), and the observed tokens' log-probabilities (N,)."""
    width = max((row.ids.shape[1] for row in rows), default=0)
    num = sum(len(row.observed) for row in rows)
    ids = torch.full((num, width), -1, dtype=torch.long)
    logprobs = torch.full((num, width), -torch.inf)
    observed = torch.empty(num)
    start = 0
    for row in rows:
        stop, listed = start + len(row.observed), row.ids.shape[1]
        ids[start:stop, :listed] = torch.from_numpy(row.ids)
        logprobs[start:stop, :listed] = torch.from_numpy(row.logprobs)
        observed[start:stop] = torch.from_numpy(row.observed)
        start = stop
    return ids.to(device), logprobs.to(device), observed.to(device)
