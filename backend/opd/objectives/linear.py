"""Matrix products by the quickest routine that this processor has for them.

PyTorch sends float32 products to MKL or the platform's BLAS, which shine on large square matrices. Decoding is
different: a handful of rows against one weight after the other, limited by how fast weights are read. oneDNN, which
PyTorch brings along, keeps weights in its own blocked order for that, and is quicker on many processors for large
products as well. Elsewhere (GPUs, Apple, other number formats) this is `torch.nn.functional.linear`.

Results equal PyTorch's to rounding; the choice depends on the machine alone, never on measurements, so that a resumed
run repeats its last bits.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Product = Callable[[Tensor], Tensor]
"""From (…, K) to (…, N); no gradient."""


def product_with(weight_NK: Tensor, bias_N: Tensor | None = None, *, pack_for_rows: int | None = None) -> Product:
    """The function x ↦ x Wᵀ + b, without gradient.

    Args:
        weight_NK: read at every call; the caller keeps it unchanged.
        pack_for_rows: keep a copy of the weight in blocked order, tuned for this many rows. Worth its copy from a few
            calls on. None uses the weight where it is.
    """
    if not has_quick_product(weight_NK):
        return lambda x: functional.linear(x, weight_NK, bias_N)
    weight = weight_NK.detach().contiguous()
    if pack_for_rows is not None:
        weight = torch.ops.mkldnn._reorder_linear_weight(weight, pack_for_rows)
    bias = None if bias_N is None else bias_N.detach()
    return lambda x: _multiply(x, weight, bias)


def linear(x: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """x Wᵀ + b, (…, K) to (…, N), with gradients for all three."""
    if not has_quick_product(weight_NK):
        return functional.linear(x, weight_NK, bias_N)
    result: Tensor = _Linear.apply(x, weight_NK, bias_N)
    return result


def has_quick_product(weight: Tensor) -> bool:
    """Whether products with this weight take oneDNN's way."""
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and _has_onednn()


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_NK: Tensor, bias_N: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight_NK)
        return _multiply(x, weight_NK, bias_N)

    @staticmethod
    def backward(ctx: Any, grad: Tensor):  # type: ignore[no-untyped-def]  # a tuple as long as autograd wants
        x, weight_NK = ctx.saved_tensors
        need_x, need_weight, need_bias = ctx.needs_input_grad
        rows = grad.reshape(-1, grad.shape[-1])
        return (
            _multiply(grad, weight_NK.t(), None) if need_x else None,
            # a sum over many rows, for which oneDNN would have to turn both sides round: here the BLAS is quicker
            torch.mm(rows.t(), x.reshape(-1, x.shape[-1])) if need_weight else None,
            rows.sum(0) if need_bias else None,
        )


def _multiply(x: Tensor, weight: Tensor, bias_N: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias_N, "none", [], "")
    return product


@lru_cache(maxsize=1)
def _has_onednn() -> bool:
    """Whether this build of PyTorch has oneDNN's products for x86, which its compiler uses under the same names."""
    return (
        torch.backends.mkldnn.is_available()
        and platform.machine().lower() in {"x86_64", "amd64"}
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )
