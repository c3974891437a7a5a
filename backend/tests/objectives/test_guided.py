"""The clipped divergence of guided self-teaching against its definition, by enumeration in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from opd.objectives.divergence import Head, generalized_jsd
from opd.objectives.guided import clipped_jsd, jsd

N, V, S = 17, 11, 6


def enumerate_jsd(p: Tensor, q: Tensor, beta: float) -> float:
    total = 0.0
    for a, b in zip(p.tolist(), q.tolist(), strict=True):
        m = beta * a + (1 - beta) * b
        if beta == 0:
            total += a * torch.tensor(a / b, dtype=torch.float64).log().item()
        elif beta == 1:
            total += b * torch.tensor(b / a, dtype=torch.float64).log().item()
        else:
            total += beta * a * torch.tensor(a / m, dtype=torch.float64).log().item()
            total += (1 - beta) * b * torch.tensor(b / m, dtype=torch.float64).log().item()
    return total


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5, 1.0])
def test_divergence_equals_enumeration(beta: float) -> None:
    generator = torch.Generator().manual_seed(0)
    p, q = torch.softmax(torch.randn(2, N, V, generator=generator, dtype=torch.float64) * 2, -1)
    truth = [enumerate_jsd(p[row], q[row], beta) for row in range(N)]
    torch.testing.assert_close(jsd(p.log(), q.log(), beta), torch.tensor(truth, dtype=torch.float64))


def setting() -> tuple[Tensor, Head, Tensor]:
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(N, S, generator=generator, requires_grad=True)
    return hidden, Head(torch.randn(V, S, generator=generator)), torch.randn(N, S, generator=generator)


def test_without_clipping_it_is_the_divergence_of_logit_distillation() -> None:
    hidden, head, guided = setting()
    ours, _ = clipped_jsd(hidden, head, guided, head, beta=0.5, clip=1e9, divisor=N, chunk_tokens=5)
    fused, _ = generalized_jsd(hidden, head, guided, head, beta=0.5, divisor=N)
    torch.testing.assert_close(ours, fused)
    torch.testing.assert_close(torch.autograd.grad(ours, hidden)[0], torch.autograd.grad(fused, hidden)[0])


def test_a_token_above_the_clip_counts_the_clip_and_moves_nothing() -> None:
    hidden, head, guided = setting()
    _, free = clipped_jsd(hidden, head, guided, head, beta=1.0, clip=1e9, divisor=1.0)
    clip = float(free.median())
    loss, kept = clipped_jsd(hidden, head, guided, head, beta=1.0, clip=clip, divisor=1.0)
    torch.testing.assert_close(kept, free.clamp(max=clip))
    (grad,) = torch.autograd.grad(loss, hidden)
    above = free > clip
    assert above.any()
    assert not above.all()
    assert (grad[above] == 0).all()
    assert (grad[free < clip].abs().sum(-1) > 0).all()


def test_what_the_guided_model_sees_gets_no_gradient() -> None:
    hidden, head, guided = setting()
    guided.requires_grad_()
    loss, _ = clipped_jsd(hidden, head, guided, head, beta=0.5, clip=1.0, divisor=1.0)
    assert torch.autograd.grad(loss, guided, allow_unused=True)[0] is None
