"""Divergences for a teacher that tells the probabilities of K tokens and keeps the rest to itself.

In: the student's logits at N completion positions, and for each the ids and log-probabilities that the teacher
returned (its K likeliest tokens, and the student's own token where that is not among them). Out: one loss per
position. Knows nothing of servers or tokenizers; ids are the student's.

The tokens that were not returned are one more outcome, the tail, with probability 1 - Σp. A divergence over these
K + 1 outcomes is the divergence of two coarsened laws: never more than the one over the vocabulary, zero where the
models agree, and equal to it for K = V.

Legend: N positions, V vocabulary, K returned tokens (rows may be shorter: pad with id -1). Nats throughout.
"""

from __future__ import annotations

import torch
from torch import Tensor

# The least mass a teacher's tail is taken to have. Log-probabilities come over the wire rounded, so 1 - Σp of a sure
# teacher is noise around zero; log of it must not decide a gradient.
TAIL_FLOOR = 1e-6


def topk_forward_kl(student_logits_NV: Tensor, teacher_ids_NK: Tensor, teacher_logprobs_NK: Tensor) -> Tensor:
    """KL(teacher‖student) over the returned tokens and the tail, per position (N,).

    Σ_k p_k (log p_k - log q_k) + p_tail (log p_tail - log q_tail), p_tail = 1 - Σ_k p_k.

    Args:
        student_logits_NV: unnormalised; gradient flows here.
        teacher_ids_NK: distinct ids in each row, -1 where a row has fewer.
        teacher_logprobs_NK: their log-probabilities; ignored where the id is -1.
    """
    log_q_NB, log_p_NB, real_NB = _buckets(student_logits_NV, teacher_ids_NK, teacher_logprobs_NK)
    return (log_p_NB.exp() * (log_p_NB - log_q_NB)).masked_fill(~real_NB, 0.0).sum(-1)


def topk_reverse_kl(student_logits_NV: Tensor, teacher_ids_NK: Tensor, teacher_logprobs_NK: Tensor) -> Tensor:
    """KL(student‖teacher) over the returned tokens and the tail, per position (N,), with constant weights.

    The value is Σ_b q_b (log q_b - log p_b). The gradient is Σ_b sg[q_b (log q_b - log p_b)] ∇log q_b, the weights
    held constant: over a complete partition the term this leaves out, Σ_b q_b ∇log q_b, is zero, so the gradient is
    exact. Without the tail it would not be zero, and would push the student off every token that was returned
    (arXiv 2605.11182 names that bias); the form below cannot acquire it.

    Arguments as in `topk_forward_kl`.
    """
    log_q_NB, log_p_NB, real_NB = _buckets(student_logits_NV, teacher_ids_NK, teacher_logprobs_NK)
    weight_NB = (log_q_NB.exp() * (log_q_NB - log_p_NB)).masked_fill(~real_NB, 0.0).detach()
    surrogate_N = (weight_NB * log_q_NB).sum(-1)
    return weight_NB.sum(-1) + (surrogate_N - surrogate_N.detach())


def _buckets(logits_NV: Tensor, ids_NK: Tensor, logprobs_NK: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Student and teacher log-mass of the K returned tokens and, last, the tail, (N, K + 1); which of them exist.

    What does not exist (padding, the tail of a complete row) holds finite values, so that no gradient is NaN.
    """
    given_NK = ids_NK >= 0
    complete_N = given_NK.sum(-1) == logits_NV.shape[-1]
    real_NB = torch.cat([given_NK, ~complete_N.unsqueeze(-1)], -1)
    log_q_NV = torch.log_softmax(logits_NV, dim=-1)
    log_q_NK = log_q_NV.gather(-1, ids_NK.clamp_min(0))
    log_q_NB = torch.cat([log_q_NK, _log_tail(log_q_NV, ids_NK, given_NK, complete_N).unsqueeze(-1)], -1)
    log_p_NK = logprobs_NK.to(log_q_NV.dtype).masked_fill(~given_NK, 0.0)
    tail_N = 1 - log_p_NK.exp().masked_fill(~given_NK, 0.0).sum(-1)
    log_p_NB = torch.cat([log_p_NK, tail_N.clamp_min(TAIL_FLOOR).log().unsqueeze(-1)], -1)
    return log_q_NB.masked_fill(~real_NB, 0.0), log_p_NB, real_NB


def _log_tail(log_q_NV: Tensor, ids_NK: Tensor, given_NK: Tensor, complete_N: Tensor) -> Tensor:
    """Log of the student's mass outside the returned tokens, summed directly: 1 - Σq would cancel to nothing."""
    num, vocabulary = log_q_NV.shape
    returned_NV = torch.zeros(num, vocabulary + 1, dtype=torch.bool, device=log_q_NV.device)
    returned_NV.scatter_(-1, torch.where(given_NK, ids_NK, vocabulary), True)
    hidden_NV = returned_NV[:, :vocabulary] & ~complete_N.unsqueeze(-1)
    return log_q_NV.masked_fill(hidden_NV, -torch.inf).logsumexp(-1)
