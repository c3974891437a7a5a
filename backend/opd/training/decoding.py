"""Sampling completions from a causal language model, a whole window at once.

In: prompts as token ids, one seed each. Out: completions as token ids, in the same order. A row's randomness comes
from its own seed alone: who else is in the batch, and who has finished, does not shift it.

Finished rows leave the batch. Models of the Llama family (Llama, Qwen2, Qwen3, Mistral) are decoded by `LeanDecoder`;
everything else, and models with adapters, through their own forward with its cache.

Legend: B rows, L tokens of this forward, P padded prompt length, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from opd.training.lean_decoder import LeanDecoder

_DROP_WHEN_FINISHED = 0.25  # share of finished rows at which copying the cache is cheaper than carrying them


@dataclass(frozen=True)
class Completion:
    """What was written after one prompt. `finished`: it ended by itself (the last id is an end token)."""

    ids: tuple[int, ...]
    finished: bool


class Decoder(Protocol):
    """Keeps the keys and values of a batch and gives the logits of the newest token."""

    def start(self, ids_BP: Tensor, mask_BP: Tensor, max_new_tokens: int) -> Tensor: ...

    def step(self, ids_B: Tensor) -> Tensor: ...

    def keep(self, rows: Tensor) -> None: ...


@torch.inference_mode()
def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    seeds: Sequence[int],
    max_new_tokens: int,
    eos_ids: Sequence[int],
    pad_id: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    batch_size: int | None = None,
    compute_dtype: torch.dtype | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Completion]:
    """Complete every prompt.

    Args:
        seeds: one a prompt; equal seed, prompt and model give equal text.
        temperature: 0 takes the likeliest token (greedy); 1 samples from the model as it is.
        top_p: smallest set of tokens with at least this probability; 1 keeps all.
        batch_size: prompts decoded at once; None takes all. Longest prompts first, so little is padding.
        compute_dtype: number format to compute in, such as bfloat16 for float32 weights on a GPU; None: the weights'.
        progress: called with the number of prompts done.

    Returns:
        Completions in the order of `prompts`; an end token that was written is included.
    """
    was_training = model.training
    model.eval()
    try:
        order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
        done: dict[int, Completion] = {}
        size = batch_size or max(1, len(prompts))
        for first in range(0, len(order), size):
            rows = order[first : first + size]
            batch = _Batch([prompts[i] for i in rows], [seeds[i] for i in rows], max_new_tokens, set(eos_ids), pad_id)
            done.update(
                zip(rows, batch.run(make_decoder(model, compute_dtype), model.device, temperature, top_p), strict=True)
            )
            if progress is not None:
                progress(len(done))
        return [done[i] for i in range(len(prompts))]
    finally:
        model.train(was_training)


def make_decoder(model: Any, dtype: torch.dtype | None = None) -> Decoder:
    """The fastest decoder that is exact for this model."""
    return LeanDecoder(model, dtype) if LeanDecoder.supports(model) else _ForwardDecoder(model, dtype)


class _Batch:
    """One batch of prompts while it is completed."""

    def __init__(
        self, prompts: list[Sequence[int]], seeds: list[int], max_new_tokens: int, eos_ids: set[int], pad_id: int
    ):
        self.prompts, self.max_new_tokens, self.eos_ids, self.pad_id = prompts, max_new_tokens, eos_ids, pad_id
        self.uniforms = torch.stack(
            [torch.rand(max_new_tokens, generator=torch.Generator().manual_seed(s), dtype=torch.float64) for s in seeds]
        )
        self.written: list[list[int]] = [[] for _ in prompts]

    def run(self, decoder: Decoder, device: torch.device, temperature: float, top_p: float) -> list[Completion]:
        width = max(len(p) for p in self.prompts)
        ids_BP = torch.tensor([[self.pad_id] * (width - len(p)) + list(p) for p in self.prompts], device=device)
        mask_BP = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in self.prompts], device=device)
        logits_BV = decoder.start(ids_BP, mask_BP, self.max_new_tokens)
        rows = list(range(len(self.prompts)))  # which prompt each row of the batch belongs to
        open_rows = set(rows)
        uniforms = self.uniforms.to(device)
        for place in range(self.max_new_tokens):
            ids_B = sample(logits_BV, uniforms[:, place], temperature, top_p)
            for row, token in zip(rows, ids_B.tolist(), strict=True):
                if row in open_rows:
                    self.written[row].append(token)
                    if token in self.eos_ids:
                        open_rows.discard(row)
            if not open_rows or place == self.max_new_tokens - 1:
                break
            if len(rows) - len(open_rows) >= max(1, _DROP_WHEN_FINISHED * len(rows)):
                kept = torch.tensor([i for i, row in enumerate(rows) if row in open_rows], device=device)
                decoder.keep(kept)
                ids_B, uniforms = ids_B[kept], uniforms[kept]
                rows = [row for row in rows if row in open_rows]
            logits_BV = decoder.step(ids_B)
        return [Completion(tuple(w), bool(w) and w[-1] in self.eos_ids) for w in self.written]


def sample(logits_BV: Tensor, uniforms_B: Tensor, temperature: float, top_p: float) -> Tensor:
    """One token id a row by inverse transform sampling: the first token whose cumulative probability passes u.

    Returns:
        Ids of shape (B,).
    """
    if temperature == 0:
        return logits_BV.argmax(-1)
    scaled_BV = logits_BV.float()
    probs_BV = torch.softmax(scaled_BV if temperature == 1 else scaled_BV / temperature, dim=-1)
    if top_p < 1:
        sorted_BV, index_BV = probs_BV.sort(dim=-1, descending=True)
        beyond_BV = sorted_BV.cumsum(-1) - sorted_BV >= top_p
        probs_BV = probs_BV.scatter(-1, index_BV, sorted_BV.masked_fill(beyond_BV, 0.0))
    cumulative_BV = probs_BV.cumsum(-1)
    total_B = cumulative_BV[:, -1]
    # rounding may put the goal on the very end, behind which there is no token: stay below it
    goal_B = torch.minimum(uniforms_B.to(total_B) * total_B, torch.nextafter(total_B, torch.zeros_like(total_B)))
    return torch.searchsorted(cumulative_BV, goal_B.unsqueeze(-1), right=True).squeeze(-1)


class _ForwardDecoder:
    """Any Hugging Face causal LM through its own forward and dynamic cache."""

    def __init__(self, model: Any, dtype: torch.dtype | None = None):
        self.model, self.dtype = model, dtype

    def start(self, ids_BP: Tensor, mask_BP: Tensor, max_new_tokens: int) -> Tensor:
        self.mask = mask_BP
        self.positions = (mask_BP.cumsum(-1) - 1).clamp(min=0)
        return self._forward(ids_BP, self.positions, None)

    def step(self, ids_B: Tensor) -> Tensor:
        self.mask = torch.cat([self.mask, self.mask.new_ones(self.mask.shape[0], 1)], dim=1)
        self.positions = self.positions[:, -1:] + 1
        return self._forward(ids_B.unsqueeze(-1), self.positions, self.cache)

    def keep(self, rows: Tensor) -> None:
        self.mask, self.positions = self.mask[rows], self.positions[rows]
        self.cache.batch_select_indices(rows)

    def _forward(self, ids_BL: Tensor, positions_BL: Tensor, cache: Any) -> Tensor:
        with torch.autocast(ids_BL.device.type, self.dtype) if self.dtype is not None else nullcontext():
            output = self.model(
                input_ids=ids_BL,
                attention_mask=self.mask,
                position_ids=positions_BL,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        self.cache = output.past_key_values
        logits: Tensor = output.logits[:, -1]
        return logits
