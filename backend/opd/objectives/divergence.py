"""Generalized Jensen-Shannon divergence between teacher and student over the whole vocabulary, without its logits.

In: hidden states of both models at the N scored positions and both output heads. Out: the weighted sum of per-token
divergences (differentiable in the student's hidden states and head) and detached per-token statistics.

The (N, V) logits of either model never exist at once: tokens are taken in chunks, and the gradient with respect to
the student's hidden states and head is formed in the forward pass while the chunk's logits are at hand. Backward only
scales what was kept, so nothing is projected twice.

Legend: N scored tokens, V vocabulary, S student width, T teacher width, C tokens of a chunk. Nats throughout.

With student law q, teacher law p and mixture m = beta p + (1 - beta) q (GKD, arXiv 2306.13649, eq. 1):

    beta = 0        KL(p‖q)                                  d/dlogits = q - p
    beta = 1        KL(q‖p)                                  d/dlogits = q (log q - log p - KL)
    0 < beta < 1    beta KL(p‖m) + (1 - beta) KL(q‖m)        d/dlogits = (1 - beta) q (log q - log m - KL(q‖m))

The third line follows from d/dq_i = (1 - beta)(log q_i - log m_i), the remaining terms cancelling because m sums to 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from opd.objectives.linear import product_with

# Elements of one chunk's logits. Large enough for efficient matrix products, small enough that the handful of
# float32 temporaries of `chunked` and `likelihood` stays around 100 MiB whatever the vocabulary.
_CHUNK_ELEMENTS = 4_000_000
# Here there are no such temporaries, and larger products are quicker: 64 MiB for the student and half for the teacher.
_FUSED_ELEMENTS = 16_000_000
# Elements of one block's logits, for each CPU thread: the five arrays of a block fit into a core's own cache.
_BLOCK_ELEMENTS = 32_768


@dataclass(frozen=True)
class Head:
    """How a model turns hidden states into logits: weight (V, width), optional bias (V,), scale and soft cap."""

    weight: Tensor
    bias: Tensor | None = None
    scale: float = 1.0
    softcap: float | None = None


@dataclass(frozen=True)
class TokenStats:
    """Detached float32 facts about each scored token, each of shape (N,)."""

    divergence_N: Tensor
    reverse_kl_N: Tensor
    entropy_N: Tensor
    teacher_entropy_N: Tensor


def head_of(model: nn.Module) -> Head:
    """The output head of a Hugging Face causal language model, with the logit post-processing of its family.

    Cohere multiplies logits by `logit_scale`, Granite divides them by `logits_scaling`, Gemma caps them softly.
    """
    output = model.get_output_embeddings()  # type: ignore[operator]  # every causal LM has it
    config: Any = model.config.get_text_config()  # type: ignore[operator, union-attr]  # as above
    scale = getattr(config, "logit_scale", None)
    if scale is None and getattr(config, "logits_scaling", None) is not None:
        scale = 1.0 / config.logits_scaling
    return Head(
        weight=output.weight,
        bias=getattr(output, "bias", None),
        scale=1.0 if scale is None else float(scale),
        softcap=getattr(config, "final_logit_softcapping", None),
    )


def generalized_jsd(
    student_hidden_NS: Tensor,
    student_head: Head,
    teacher_hidden_NT: Tensor,
    teacher_head: Head,
    *,
    beta: float,
    divisor: float,
    temperature: float = 1.0,
    chunk_tokens: int | None = None,
) -> tuple[Tensor, TokenStats]:
    """Sum over tokens of JSD_beta(teacher‖student) / `divisor`.

    Args:
        student_hidden_NS: what enters the student's head at the scored positions; gradient flows here.
        teacher_hidden_NT: the same for the teacher; no gradient.
        beta: 0 forward KL, 1 reverse KL, between them the mixture.
        divisor: completion tokens of the whole optimizer window, so that accumulated parts add up to one mean.
        temperature: divides both models' logits.
        chunk_tokens: tokens per chunk; None chooses by vocabulary. Changes memory, not mathematics.

    Returns:
        The scalar loss and the per-token statistics of all N tokens.
    """
    chunk = chunk_tokens or max(1, _FUSED_ELEMENTS // student_head.weight.shape[0])
    loss, *stats = _FusedDivergence.apply(
        student_hidden_NS,
        student_head.weight,
        student_head.bias,
        teacher_hidden_NT,
        _Plan(student_head, teacher_head, beta, divisor, 1.0 / temperature, chunk),
    )
    return loss, TokenStats(*stats)


@dataclass(frozen=True)
class _Plan:
    student: Head
    teacher: Head
    beta: float
    divisor: float
    inverse_temperature: float
    chunk: int


class _FusedDivergence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden_NS: Tensor, weight_VS: Tensor, bias_V: Tensor | None, teacher_NT: Tensor, plan: _Plan):  # type: ignore[no-untyped-def]  # a tuple as long as autograd wants
        need_hidden, need_weight, need_bias = ctx.needs_input_grad[:3]
        num = hidden_NS.shape[0]
        device = hidden_NS.device
        stats = [torch.empty(num, dtype=torch.float32, device=device) for _ in range(4)]
        grad_hidden = torch.empty_like(hidden_NS) if need_hidden else None
        grad_weight = torch.zeros_like(weight_VS, dtype=torch.float32) if need_weight else None
        grad_bias = torch.zeros(weight_VS.shape[0], dtype=torch.float32, device=device) if need_bias else None
        chunk = -(-num // max(1, -(-num // plan.chunk)))  # chunks of one size: a small rest is as slow as it is small
        scratch = _Scratch(chunk, weight_VS.shape[0], device)
        for part in _slices(num, chunk):
            hidden_CS = hidden_NS[part]
            logits_CV, slope_CV = _logits(hidden_CS, weight_VS, bias_V, plan.student, plan.inverse_temperature)
            teacher_CV, _ = _logits(
                teacher_NT[part], plan.teacher.weight, plan.teacher.bias, plan.teacher, plan.inverse_temperature
            )
            for rows in _slices(len(hidden_CS), scratch.block):
                facts = _divergence_and_gradient(logits_CV[rows], teacher_CV[rows], plan.beta, scratch)
                for target, value in zip(stats, facts, strict=True):
                    target[part][rows] = value
            del teacher_CV
            if not (need_hidden or need_weight or need_bias):
                continue
            # the student's logits have become the gradient
            grad_CV = logits_CV.mul_(plan.student.scale * plan.inverse_temperature / plan.divisor)
            if slope_CV is not None:
                grad_CV.mul_(slope_CV)
            grad = grad_CV.to(hidden_CS.dtype)
            if grad_hidden is not None:
                torch.mm(grad, weight_VS.to(grad.dtype), out=grad_hidden[part])
            if grad_weight is not None:
                if grad.dtype == torch.float32:
                    grad_weight.addmm_(grad.t(), hidden_CS)
                else:
                    grad_weight.add_(grad.t() @ hidden_CS)
            if grad_bias is not None:
                grad_bias.add_(grad_CV.sum(0))
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        ctx.dtypes = (weight_VS.dtype, bias_V.dtype if bias_V is not None else None)
        loss = stats[0].sum() / plan.divisor
        ctx.mark_non_differentiable(*stats)
        ctx.set_materialize_grads(False)
        return (loss, *stats)

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor | None, *_: Tensor):  # type: ignore[no-untyped-def]  # a tuple as long as autograd wants
        grad_hidden, grad_weight, grad_bias = ctx.saved_tensors
        if grad_loss is None:
            return None, None, None, None, None
        weight_dtype, bias_dtype = ctx.dtypes
        return (
            grad_hidden * grad_loss.to(grad_hidden.dtype) if grad_hidden is not None else None,
            (grad_weight * grad_loss).to(weight_dtype) if grad_weight is not None else None,
            (grad_bias * grad_loss).to(bias_dtype) if grad_bias is not None else None,
            None,
            None,
        )


class _Scratch:
    """Memory that all blocks of a call share.

    On a CPU the passes over the vocabulary are made block by block of rows, so that a block stays in the cores' caches
    from its first pass to its last.
    """

    def __init__(self, rows: int, vocabulary: int, device: torch.device):
        on_cpu = device.type == "cpu"
        threads = torch.get_num_threads() if on_cpu else 1
        self.block = min(rows, max(threads, _BLOCK_ELEMENTS * threads // vocabulary)) if on_cpu else rows
        self.pads = [torch.empty(self.block, vocabulary, dtype=torch.float32, device=device) for _ in range(3)]


def _slices(num: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most `size` that cover `num`."""
    return (slice(start, min(start + size, num)) for start in range(0, num, size))


def _logits(
    hidden_C: Tensor,
    weight_V: Tensor,
    bias_V: Tensor | None,
    head: Head,
    inverse_temperature: float,
) -> tuple[Tensor, Tensor | None]:
    """Float32 logits (C, V) of one chunk, divided by the temperature; the soft cap's slope (C, V) where there is one.

    Products are taken in the hidden states' own precision, statistics in float32.
    """
    logits_CV = product_with(weight_V.to(hidden_C.dtype))(hidden_C).float()
    if bias_V is not None:
        logits_CV += bias_V.float()
    if head.scale != 1.0:
        logits_CV *= head.scale
    slope_CV = None
    if head.softcap is not None:
        tanh_CV = torch.tanh(logits_CV / head.softcap)
        slope_CV = 1 - tanh_CV * tanh_CV
        logits_CV = tanh_CV * head.softcap
    if inverse_temperature != 1.0:
        logits_CV *= inverse_temperature
    return logits_CV, slope_CV


def _divergence_and_gradient(
    logits_RV: Tensor, teacher_RV: Tensor, beta: float, scratch: _Scratch
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Statistics of each token (R,): divergence, reverse KL and both entropies.

    Leaves the divergence's gradient with respect to the student's logits in `logits_RV`; `teacher_RV` is lost.
    """
    log_q, log_p, product = (pad[: len(logits_RV)] for pad in scratch.pads)

    def dot(one_RV: Tensor, other_RV: Tensor) -> Tensor:
        return torch.mul(one_RV, other_RV, out=product).sum(-1)

    torch.log_softmax(logits_RV, dim=-1, out=log_q)
    torch.log_softmax(teacher_RV, dim=-1, out=log_p)
    q, p = torch.exp(log_q, out=logits_RV), torch.exp(log_p, out=teacher_RV)
    entropy_R, teacher_entropy_R = -dot(q, log_q), -dot(p, log_p)
    if 0.0 < beta < 1.0:
        log_m = torch.logaddexp(log_p + math.log(beta), log_q + math.log1p(-beta))
        teacher_part_R = dot(p, log_p - log_m)
        excess = log_m.neg_().add_(log_q)
        gap = log_q.sub_(log_p)
        reverse_R = dot(q, gap)
        student_part_R = dot(q, excess)
        q.mul_(excess.sub_(student_part_R.unsqueeze(-1))).mul_(1 - beta)
        return beta * teacher_part_R + (1 - beta) * student_part_R, reverse_R, entropy_R, teacher_entropy_R
    gap = log_q.sub_(log_p)
    reverse_R = dot(q, gap)
    if beta == 1.0:
        q.mul_(gap.sub_(reverse_R.unsqueeze(-1)))
        return reverse_R, reverse_R, entropy_R, teacher_entropy_R
    forward_R = -dot(p, gap)
    q.sub_(p)
    return forward_R, reverse_R, entropy_R, teacher_entropy_R
