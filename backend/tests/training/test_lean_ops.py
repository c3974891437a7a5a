"""Gradients written by hand against numerical ones and torch's own formulas, in float64."""

from __future__ import annotations

import torch
from torch.nn import functional

from opd.training.lean_ops import gated, rms_norm, rotary


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def test_rms_norm() -> None:
    x, weight = numbers(3, 2, 8).requires_grad_(), numbers(8).requires_grad_()
    torch.testing.assert_close(rms_norm(x, weight, 1e-6), functional.rms_norm(x, (8,), weight, 1e-6))
    assert torch.autograd.gradcheck(lambda x, w: rms_norm(x, w, 1e-6), (x, weight))


def test_rotary() -> None:
    x, angles = numbers(3, 2, 8).requires_grad_(), numbers(3, 1, 4)
    cos = torch.cat([angles.cos(), angles.cos()], -1)
    sin = torch.cat([-angles.sin(), angles.sin()], -1)
    turned = rotary(x, cos, sin)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.autograd.gradcheck(lambda x: rotary(x, cos, sin), (x,))


def test_gated() -> None:
    gate, up = numbers(5, 6).requires_grad_(), numbers(5, 6).mul(2).requires_grad_()
    torch.testing.assert_close(gated(gate, up), functional.silu(gate) * up)
    assert torch.autograd.gradcheck(gated, (gate, up))
