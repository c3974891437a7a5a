"""Any per-token loss over logits, without ever holding the logits of all tokens.

In: hidden states at the N scored positions, the output head, and a function from a chunk's logits to its per-token
loss. Out: their sum / divisor, differentiable in hidden states and head, and the detached per-token values.

The chunk's gradient is formed in the forward pass while its logits are at hand, as in `divergence`; here autograd
forms it, so that a new objective is one function of logits and needs no derivative of its own.

Legend: N scored tokens, V vocabulary, S student width, C tokens of a chunk. Nats throughout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from opd.objectives.divergence import _CHUNK_ELEMENTS, Head, _logits

TokenLoss = Callable[[Tensor, slice], Tensor]
"""From float32 logits (C, V) of the positions in the slice to their losses (C,)."""


def chunked_loss(
    student_hidden_NS: Tensor,
    head: Head,
    token_loss: TokenLoss,
    *,
    divisor: float,
    temperature: float = 1.0,
    chunk_tokens: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Σ token_loss / divisor.

    Args:
        student_hidden_NS: what enters the student's head at the scored positions; gradient flows here.
        token_loss: called once a chunk, in order, with logits that carry gradient.
        divisor: completion tokens of the whole optimizer window, so that accumulated parts add up to one mean.
        temperature: divides the logits.
        chunk_tokens: tokens per chunk; None chooses by vocabulary. Changes memory, not mathematics.

    Returns:
        The scalar loss and detached float32 per-token losses (N,).
    """
    chunk = chunk_tokens or max(1, _CHUNK_ELEMENTS // head.weight.shape[0])
    loss, loss_N = _FusedLoss.apply(
        student_hidden_NS, head.weight, head.bias, head, token_loss, divisor, 1.0 / temperature, chunk
    )
    return loss, loss_N


def head_logits(hidden_NS: Tensor, head: Head) -> Tensor:
    """Float32 logits (N, V) of a head, without gradient; for a few positions at a time."""
    with torch.no_grad():
        return _logits(hidden_NS, head.weight, head.bias, head, 1.0)[0]


class _FusedLoss(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[no-untyped-def]  # a tuple as long as autograd wants
        ctx: Any,
        hidden_NS: Tensor,
        weight_VS: Tensor,
        bias_V: Tensor | None,
        head: Head,
        token_loss: TokenLoss,
        divisor: float,
        inverse_temperature: float,
        chunk: int,
    ):
        num, device = hidden_NS.shape[0], hidden_NS.device
        need_hidden, need_weight, need_bias = ctx.needs_input_grad[:3]
        need_any = need_hidden or need_weight or need_bias
        loss_N = torch.empty(num, dtype=torch.float32, device=device)
        grad_hidden = torch.empty_like(hidden_NS) if need_hidden else None
        grad_weight = torch.zeros_like(weight_VS, dtype=torch.float32) if need_weight else None
        grad_bias = torch.zeros(weight_VS.shape[0], dtype=torch.float32, device=device) if need_bias else None
        for start in range(0, num, chunk):
            part = slice(start, min(start + chunk, num))
            hidden_CS = hidden_NS[part]
            logits_CV, slope_CV = _logits(hidden_CS, weight_VS, bias_V, head, inverse_temperature)
            with torch.enable_grad():
                leaf_CV = logits_CV.detach().requires_grad_(need_any)
                loss_C = token_loss(leaf_CV, part)
                total = loss_C.sum()
            loss_N[part] = loss_C.detach().float()
            if not need_any:
                continue
            (grad_CV,) = torch.autograd.grad(total, leaf_CV)
            grad_CV = grad_CV * (head.scale * inverse_temperature / divisor)
            if slope_CV is not None:
                grad_CV.mul_(slope_CV)
            grad = grad_CV.to(hidden_CS.dtype)
            if grad_hidden is not None:
                torch.mm(grad, weight_VS.to(grad.dtype), out=grad_hidden[part])
            if grad_weight is not None:
                grad_weight.add_(grad.t() @ hidden_CS)
            if grad_bias is not None:
                grad_bias.add_(grad_CV.sum(0))
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        ctx.dtypes = (weight_VS.dtype, bias_V.dtype if bias_V is not None else None)
        ctx.mark_non_differentiable(loss_N)
        ctx.set_materialize_grads(False)
        return loss_N.sum() / divisor, loss_N

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor | None, *_: Tensor):  # type: ignore[no-untyped-def]  # a tuple as long as autograd wants
        grad_hidden, grad_weight, grad_bias = ctx.saved_tensors
        if grad_loss is None:
            return (None,) * 8
        weight_dtype, bias_dtype = ctx.dtypes
        return (
            grad_hidden * grad_loss.to(grad_hidden.dtype) if grad_hidden is not None else None,
            (grad_weight * grad_loss).to(weight_dtype) if grad_weight is not None else None,
            (grad_bias * grad_loss).to(bias_dtype) if grad_bias is not None else None,
            *(None,) * 5,
        )
