"""The element-wise parts of a Llama-family layer, with gradients in as few passes over memory as they need.

Small models on a CPU wait for memory as much as for arithmetic; autograd over single operations reads and writes every
activation a dozen times for a norm alone. Tests compare values and gradients with torch's own formulas.

Legend: D width that a norm or rotation works on; leading dimensions are free.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def rms_norm(x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    """x / rms(x) · weight over the last dimension (Zhang and Sennrich 2019)."""
    y: Tensor = _RMSNorm.apply(x, weight_D, eps)
    return y


def rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`rotate` with a gradient for x."""
    y: Tensor = _Rotary.apply(x, cos, sin)
    return y


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) · up (SwiGLU, Shazeer 2020)."""
    y: Tensor = _Gated.apply(gate, up)
    return y


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding (Su et al. 2021) in the half-split layout; `sin` carries the sign of the first half."""
    half = x.shape[-1] // 2
    return torch.addcmul(x * cos, torch.cat([x[..., half:], x[..., :half]], dim=-1), sin)


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
        square = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_()
        scale = square.div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight_D, scale)
        return (x * scale).mul_(weight_D)

    @staticmethod
    def backward(ctx: Any, grad: Tensor):  # type: ignore[no-untyped-def]  # a tuple as long as autograd wants
        x, weight_D, scale = ctx.saved_tensors
        width = x.shape[-1]
        unit = x * scale
        along = grad * unit
        grad_weight = along.reshape(-1, width).sum(0) if ctx.needs_input_grad[1] else None
        share = (along @ weight_D).div_(width).unsqueeze(-1)
        return (grad * weight_D).sub_(unit.mul_(share)).mul_(scale), grad_weight, None


class _Rotary(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return rotate(x, cos, sin)

    @staticmethod
    def backward(ctx: Any, grad: Tensor):  # type: ignore[no-untyped-def]  # a tuple as long as autograd wants
        cos, sin = ctx.saved_tensors
        return rotate(grad, cos, -sin), None, None  # the inverse of a rotation is its transpose


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return functional.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, grad: Tensor):  # type: ignore[no-untyped-def]  # a tuple as long as autograd wants
        gate, up = ctx.saved_tensors
        return torch.ops.aten.silu_backward(grad * up, gate), functional.silu(gate).mul_(grad)
