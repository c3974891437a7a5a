"""Whether two models are one: the same conversations, the same logits, up to the rounding of a number format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from opd.errors import VerificationError
from opd.store.exports import Check

CONVERSATIONS: tuple[tuple[dict[str, str], ...], ...] = (
    ({"role": "user", "content": "What is 17 + 26?"},),
    (
        {"role": "system", "content": "You are a careful analyst. Answer in one line."},
        {"role": "user", "content": "Cloud 1,204 and Hardware 96.5: what is the total, in € million?"},
    ),
    (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Größe?\n\n  two  lines"},
        {"role": "assistant", "content": "It's 12.5 % — naïve, but don't worry."},
        {"role": "user", "content": "你好 🙂 2026-11-27"},
    ),
)
SAME = 1e-6
"""Mean KL divergence (nats/token) up to which two computations of one model differ in float32."""


def probe_ids(tokenizer: Any) -> list[list[int]]:
    """The conversations through a tokenizer's chat template."""
    found = []
    for conversation in CONVERSATIONS:
        ids = tokenizer.apply_chat_template(list(conversation), add_generation_prompt=True, return_dict=False)
        found.append([int(token) for token in ids])
    return found


@torch.inference_mode()
def compare_logits(source: Any, exported: Any, rows: Sequence[Sequence[int]], *, tolerance: float = SAME) -> Check:
    """Both models read the same tokens.

    Args:
        tolerance: largest mean KL divergence, in nats/token.

    Raises:
        VerificationError: they differ by more.
    """
    kl, count, largest = 0.0, 0, 0.0
    for ids in rows:
        tokens = torch.tensor([list(ids)])
        mine, theirs = (model(input_ids=tokens).logits[0].double().log_softmax(-1) for model in (source, exported))
        kl += float((mine.exp() * (mine - theirs)).sum())
        largest = max(largest, float((mine - theirs).abs().max()))
        count += len(ids)
    mean = max(0.0, kl / count)
    found = f"{count} tokens read by both: mean KL {mean:.1e} nats/token, largest log-probability gap {largest:.1e}"
    if not mean <= tolerance:
        raise VerificationError(
            f"The exported model does not behave like the run's: {found}.",
            hint="The export was removed. Please report this, with the model's architecture.",
        )
    return Check(what="behaves like the run's model", found=found)
