"""Matrix products with fixed weights, by the quickest routine that this processor has for them.

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
    if weight_NK.device.type != "cpu" or weight_NK.dtype != torch.float32 or not _has_onednn():
        return lambda x: functional.linear(x, weight_NK, bias_N)
    ops = torch.ops.mkldnn
    weight = weight_NK.detach().contiguous()
    held = weight if pack_for_rows is None else ops._reorder_linear_weight(weight, pack_for_rows)
    bias = None if bias_N is None else bias_N.detach()
    return lambda x: ops._linear_pointwise(x, held, bias, "none", [], "")


@lru_cache(maxsize=1)
def _has_onednn() -> bool:
    """Whether this build of PyTorch has oneDNN's products for x86, which its compiler uses under the same names."""
    return (
        torch.backends.mkldnn.is_available()
        and platform.machine().lower() in {"x86_64", "amd64"}
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )
