"""Negative log-likelihood of given tokens (supervised fine-tuning), chunked like the divergence.

In: the student's hidden states at the N scored positions, its head, the target ids and, where they differ, what each
token counts. Out: Σ -w·log q(target) / divisor, differentiable, and detached per-token values. The gradient,
w·(q - onehot(target)), is formed in the forward pass, so the (N, V) logits never exist at once.

Weights make this the objective of whatever says for each token of the student's own text how much it should be
learned: 1 for a line that a teacher kept, 0 for one it did not, below 0 for a text that should become less likely.

Legend: N scored tokens, V vocabulary, S student width, C tokens of a chunk. Nats throughout.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from opd.objectives.divergence import _CHUNK_ELEMENTS, Head, _logits


def negative_log_likelihood(
    student_hidden_NS: Tensor,
    head: Head,
    targets_N: Tensor,
    *,
    divisor: float,
    weights_N: Tensor | None = None,
    chunk_tokens: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Cross-entropy of `targets_N`.

    Args:
        weights_N: what each token counts, float32, of either sign; None: 1.

    Returns:
        The scalar loss, and detached float32 (N,) negative log-likelihoods (unweighted) and entropies.
    """
    chunk = chunk_tokens or max(1, _CHUNK_ELEMENTS // head.weight.shape[0])
    loss, nll_N, entropy_N = _FusedLikelihood.apply(
        student_hidden_NS, head.weight, head.bias, targets_N, weights_N, head, divisor, chunk
    )
    return loss, nll_N, entropy_N


class _FusedLikelihood(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[no-untyped-def]  # a tuple as long as autograd wants
        ctx: Any,
        hidden_NS: Tensor,
        weight_VS: Tensor,
        bias_V: Tensor | None,
        targets_N: Tensor,
        weights_N: Tensor | None,
        head: Head,
        divisor: float,
        chunk: int,
    ):
        num, device = hidden_NS.shape[0], hidden_NS.device
        nll_N = torch.empty(num, dtype=torch.float32, device=device)
        entropy_N = torch.empty(num, dtype=torch.float32, device=device)
        grad_hidden = torch.empty_like(hidden_NS)
        grad_weight = torch.zeros_like(weight_VS, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        grad_bias = (
            torch.zeros(weight_VS.shape[0], dtype=torch.float32, device=device) if ctx.needs_input_grad[2] else None
        )
        for start in range(0, num, chunk):
            part = slice(start, min(start + chunk, num))
            logits_CV, slope_CV = _logits(hidden_NS[part], weight_VS, bias_V, head, 1.0)
            log_q = torch.log_softmax(logits_CV, dim=-1)
            targets_C1 = targets_N[part].unsqueeze(-1)
            nll_N[part] = -log_q.gather(-1, targets_C1).squeeze(-1)
            grad_CV = log_q.exp()
            entropy_N[part] = -(grad_CV * log_q).sum(-1)
            grad_CV.scatter_add_(-1, targets_C1, torch.full_like(targets_C1, -1.0, dtype=grad_CV.dtype))
            grad_CV.mul_(head.scale / divisor)
            if weights_N is not None:
                grad_CV.mul_(weights_N[part].unsqueeze(-1))
            if slope_CV is not None:
                grad_CV.mul_(slope_CV)
            grad = grad_CV.to(hidden_NS.dtype)
            torch.mm(grad, weight_VS.to(grad.dtype), out=grad_hidden[part])
            if grad_weight is not None:
                grad_weight.add_(grad.t() @ hidden_NS[part])
            if grad_bias is not None:
                grad_bias.add_(grad_CV.sum(0))
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        ctx.dtypes = (weight_VS.dtype, bias_V.dtype if bias_V is not None else None)
        ctx.mark_non_differentiable(nll_N, entropy_N)
        ctx.set_materialize_grads(False)
        weighted_N = nll_N if weights_N is None else nll_N * weights_N
        return weighted_N.sum() / divisor, nll_N, entropy_N

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor | None, *_: Tensor):  # type: ignore[no-untyped-def]  # a tuple as long as autograd wants
        grad_hidden, grad_weight, grad_bias = ctx.saved_tensors
        if grad_loss is None:
            return (None,) * 8
        weight_dtype, bias_dtype = ctx.dtypes
        return (
            grad_hidden * grad_loss.to(grad_hidden.dtype),
            (grad_weight * grad_loss).to(weight_dtype) if grad_weight is not None else None,
            (grad_bias * grad_loss).to(bias_dtype) if grad_bias is not None else None,
            *(None,) * 5,
        )
