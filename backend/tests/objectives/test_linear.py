"""Products with fixed weights against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from opd.objectives.linear import linear, product_with


@pytest.mark.parametrize("shape", [(1, 24), (5, 24), (2, 3, 24), (300, 24)])
@pytest.mark.parametrize("pack", [None, 4])
@pytest.mark.parametrize("with_bias", [False, True])
def test_equals_linear(shape: tuple[int, ...], pack: int | None, with_bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(shape, generator=generator), torch.randn(40, 24, generator=generator)
    bias = torch.randn(40, generator=generator) if with_bias else None
    with torch.inference_mode():
        ours = product_with(weight, bias, pack_for_rows=pack)(x)
    torch.testing.assert_close(ours, functional.linear(x, weight, bias), rtol=1e-5, atol=1e-5)


def test_reads_parameters_slices_and_strided_inputs() -> None:
    weight = torch.nn.Parameter(torch.randn(24, 40)).t()[::2]
    x = torch.randn(24, 7).t()
    with torch.inference_mode():
        ours = product_with(weight, pack_for_rows=7)(x)
    torch.testing.assert_close(ours, functional.linear(x, weight.detach()), rtol=1e-5, atol=1e-5)


def test_other_number_formats_are_left_to_torch() -> None:
    x, weight = torch.randn(3, 8).bfloat16(), torch.randn(5, 8).bfloat16()
    assert torch.equal(product_with(weight, pack_for_rows=3)(x), functional.linear(x, weight))


def test_an_unpacked_product_sees_its_weight_change() -> None:
    weight, x = torch.ones(4, 4), torch.ones(1, 4)
    product = product_with(weight)
    weight.fill_(2.0)
    assert product(x).tolist() == [[8.0] * 4]


@pytest.mark.parametrize("shape", [(5, 24), (2, 3, 24)])
@pytest.mark.parametrize("with_bias", [False, True])
def test_gradients_are_those_of_torch(shape: tuple[int, ...], with_bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(shape, generator=generator), torch.randn(40, 24, generator=generator)]
    if with_bias:
        inputs.append(torch.randn(40, generator=generator))
    slope = torch.randn(*shape[:-1], 40, generator=generator)
    ours, truth = ([leaf.clone().requires_grad_() for leaf in inputs] for _ in range(2))
    linear(*ours).backward(slope)
    functional.linear(*truth).backward(slope)
    for one, other in zip(ours, truth, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-5)
