"""Guided self-teaching: the student without a guide follows what it would write with the guide before its eyes.

In: hidden states at the same N completion tokens, of the student without and of the untrained model with the guide.
Out: Σ clipped divergence / divisor, differentiable in the student, and detached per-token values. Source: on-policy
self-distillation from a conditioned copy of the model (SDFT; RGSD), with the divergence of each token clipped, because
a few tokens of style would else outweigh all others.

Legend: N scored tokens, V vocabulary, S student width, C tokens of a chunk. Nats throughout.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from opd.objectives.chunked import chunked_loss, head_logits
from opd.objectives.divergence import Head


def clipped_jsd(
    student_hidden_NS: Tensor,
    student_head: Head,
    guided_hidden_NS: Tensor,
    guided_head: Head,
    *,
    beta: float,
    clip: float,
    divisor: float,
    chunk_tokens: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Σ min(clip, JSD_beta(guided‖student)) / divisor.

    A token whose divergence is above the clip adds the clip to the loss and nothing to the gradient.

    Args:
        guided_hidden_NS: of the untrained model that sees the guide; no gradient flows into it.
        beta: 0 forward KL, 1 reverse KL, between them the mixture.
        clip: largest divergence of a token, nats.
        divisor: completion tokens of the whole window.

    Returns:
        The scalar loss, and detached float32 divergences (N,) after clipping.
    """

    def token_loss(logits_CV: Tensor, part: slice) -> Tensor:
        log_p = torch.log_softmax(head_logits(guided_hidden_NS[part].detach(), guided_head), dim=-1)
        return jsd(log_p, torch.log_softmax(logits_CV, dim=-1), beta).clamp(max=clip)

    return chunked_loss(student_hidden_NS, student_head, token_loss, divisor=divisor, chunk_tokens=chunk_tokens)


def jsd(log_p: Tensor, log_q: Tensor, beta: float) -> Tensor:
    """JSD_beta(p‖q) of each row, from log-probabilities (C, V); Agarwal et al. 2023, arXiv 2306.13649."""
    if beta == 0.0:
        return _kl(log_p, log_q)
    if beta == 1.0:
        return _kl(log_q, log_p)
    log_m = torch.logaddexp(log_p + math.log(beta), log_q + math.log1p(-beta))
    return beta * _kl(log_p, log_m) + (1 - beta) * _kl(log_q, log_m)


def _kl(log_a: Tensor, log_b: Tensor) -> Tensor:
    return (log_a.exp() * (log_a - log_b)).sum(-1)
