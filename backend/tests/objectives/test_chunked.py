"""A loss in chunks against the same loss on all logits at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from opd.objectives.chunked import chunked_loss
from opd.objectives.divergence import Head, generalized_jsd
from opd.objectives.topk import topk_forward_kl

N, V, S = 23, 31, 8


@pytest.mark.parametrize("chunk", [1, 7, None])
@pytest.mark.parametrize(("scale", "softcap", "temperature"), [(1.0, None, 1.0), (0.5, 5.0, 1.7)])
def test_equals_the_loss_on_all_logits(
    chunk: int | None, scale: float, softcap: float | None, temperature: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(N, S, generator=generator, requires_grad=True)
    weight = torch.randn(V, S, generator=generator, requires_grad=True)
    bias = torch.randn(V, generator=generator, requires_grad=True)
    logprobs, ids = torch.log_softmax(torch.randn(N, V, generator=generator), -1).topk(5, -1)

    logits = (hidden @ weight.t() + bias) * scale
    if softcap is not None:
        logits = torch.tanh(logits / softcap) * softcap
    truth_N = topk_forward_kl(logits / temperature, ids, logprobs)
    truth = torch.autograd.grad(truth_N.sum() / 50 * 3, [hidden, weight, bias])

    loss, loss_N = chunked_loss(
        hidden,
        Head(weight, bias, scale, softcap),
        lambda logits_CV, part: topk_forward_kl(logits_CV, ids[part], logprobs[part]),
        divisor=50.0,
        temperature=temperature,
        chunk_tokens=chunk,
    )
    torch.testing.assert_close(loss_N, truth_N.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(loss, truth_N.detach().sum() / 50, rtol=1e-5, atol=1e-5)
    for ours, expected in zip(torch.autograd.grad(loss * 3, [hidden, weight, bias]), truth, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_reproduces_the_hand_derived_divergence() -> None:
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(N, S, generator=generator, requires_grad=True)
    weight, teacher_weight = torch.randn(2, V, S, generator=generator)
    teacher_hidden = torch.randn(N, S, generator=generator)

    def reverse_kl(logits_CV: Tensor, part: slice) -> Tensor:
        log_q = torch.log_softmax(logits_CV, -1)
        return (log_q.exp() * (log_q - torch.log_softmax(teacher_hidden[part] @ teacher_weight.t(), -1))).sum(-1)

    ours, _ = chunked_loss(hidden, Head(weight), reverse_kl, divisor=N, chunk_tokens=6)
    fused, _ = generalized_jsd(hidden, Head(weight), teacher_hidden, Head(teacher_weight), beta=1.0, divisor=N)
    torch.testing.assert_close(ours, fused)
    torch.testing.assert_close(torch.autograd.grad(ours, hidden)[0], torch.autograd.grad(fused, hidden)[0])


def test_measures_without_gradient() -> None:
    hidden, weight = torch.randn(N, S), torch.randn(V, S)
    loss, _ = chunked_loss(hidden, Head(weight), lambda logits_CV, _: logits_CV.sum(-1), divisor=1.0)
    torch.testing.assert_close(loss, (hidden @ weight.t()).sum(), rtol=1e-3, atol=1e-3)
    assert not loss.requires_grad
