"""The fused divergence and likelihood against formulas written from their definitions, in float64, and against TRL."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from opd.objectives.divergence import Head, generalized_jsd
from opd.objectives.likelihood import negative_log_likelihood

N, V, S, T = 37, 101, 16, 24


def parts(seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(N, S, generator=generator, dtype=dtype).requires_grad_()
    weight = (torch.randn(V, S, generator=generator, dtype=dtype) * 0.7).requires_grad_()
    bias = torch.randn(V, generator=generator, dtype=dtype).requires_grad_()
    teacher_hidden = torch.randn(N, T, generator=generator, dtype=dtype)
    teacher_weight = torch.randn(V, T, generator=generator, dtype=dtype) * 0.7
    return hidden, weight, bias, teacher_hidden, teacher_weight


def naive(logits: Tensor, teacher: Tensor, beta: float) -> Tensor:
    """Per-token divergence from the definition, token by token and word by word of the vocabulary."""
    q, p = torch.softmax(logits, -1), torch.softmax(teacher, -1)
    if beta == 0:
        return (p * (p / q).log()).sum(-1)
    if beta == 1:
        return (q * (q / p).log()).sum(-1)
    m = beta * p + (1 - beta) * q
    return beta * (p * (p / m).log()).sum(-1) + (1 - beta) * (q * (q / m).log()).sum(-1)


def cap(logits: Tensor, softcap: float | None) -> Tensor:
    return logits if softcap is None else torch.tanh(logits / softcap) * softcap


def close(ours: Tensor, truth: Tensor, relative: float = 1e-5) -> None:
    assert (ours.double() - truth.double()).norm() <= relative * truth.double().norm()


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("chunk", [1, 7, 37, None])
@pytest.mark.parametrize(("scale", "softcap", "temperature"), [(1.0, None, 1.0), (0.5, 5.0, 1.7)])
def test_loss_and_gradient_equal_the_naive_formula(
    beta: float, chunk: int | None, scale: float, softcap: float | None, temperature: float
) -> None:
    hidden, weight, bias, teacher_hidden, teacher_weight = parts()
    logits = cap((hidden @ weight.t() + bias) * scale, softcap) / temperature
    teacher = cap(teacher_hidden @ teacher_weight.t() * scale, softcap) / temperature
    truth = naive(logits, teacher, beta).sum() / 123.0
    truth_grads = torch.autograd.grad(truth, [hidden, weight, bias])

    single = [x.detach().float().requires_grad_() for x in (hidden, weight, bias)]
    loss, stats = generalized_jsd(
        single[0],
        Head(single[1], single[2], scale, softcap),
        teacher_hidden.float(),
        Head(teacher_weight.float(), None, scale, softcap),
        beta=beta,
        divisor=123.0,
        temperature=temperature,
        chunk_tokens=chunk,
    )
    close(loss, truth)
    for ours, expected in zip(torch.autograd.grad(loss, single), truth_grads, strict=True):
        close(ours, expected)
    q = torch.softmax(logits, -1)
    close(stats.reverse_kl_N, naive(logits, teacher, 1.0))
    close(stats.entropy_N, -(q * q.log()).sum(-1))


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_equals_trl_on_the_same_logits(beta: float) -> None:
    from trl.trainer.distillation_trainer import _chunked_divergence_loss

    hidden, weight, _, teacher_hidden, teacher_weight = (x.detach().float() for x in parts(1))
    ours = [hidden.clone().requires_grad_(), weight.clone().requires_grad_()]
    theirs = [hidden.clone().requires_grad_(), weight.clone().requires_grad_()]
    loss, _ = generalized_jsd(ours[0], Head(ours[1]), teacher_hidden, Head(teacher_weight), beta=beta, divisor=float(N))
    mask = torch.ones(1, N)
    trl_loss, entropy_sum, _ = _chunked_divergence_loss(
        theirs[0].unsqueeze(0), teacher_hidden.unsqueeze(0), theirs[1], teacher_weight, mask, beta
    )
    close(loss, trl_loss)
    for a, b in zip(torch.autograd.grad(loss, ours), torch.autograd.grad(trl_loss, theirs), strict=True):
        close(a, b)
    assert entropy_sum > 0


def test_identical_models_diverge_by_nothing_and_get_no_gradient() -> None:
    hidden, weight, *_ = (x.detach().float() for x in parts(2))
    hidden.requires_grad_()
    for beta in (0.0, 0.5, 1.0):
        loss, _ = generalized_jsd(hidden, Head(weight), hidden.detach(), Head(weight), beta=beta, divisor=1.0)
        (grad,) = torch.autograd.grad(loss, hidden)
        assert abs(loss.item()) < 1e-4
        assert grad.abs().max() < 1e-5


def test_parts_of_a_window_add_up_to_the_whole() -> None:
    hidden, weight, _, teacher_hidden, teacher_weight = (x.detach().float() for x in parts(3))
    whole, part = weight.clone().requires_grad_(), weight.clone().requires_grad_()
    loss, _ = generalized_jsd(hidden, Head(whole), teacher_hidden, Head(teacher_weight), beta=1.0, divisor=N)
    loss.backward()
    for rows in (slice(0, 5), slice(5, 30), slice(30, N)):
        piece, _ = generalized_jsd(
            hidden[rows], Head(part), teacher_hidden[rows], Head(teacher_weight), beta=1.0, divisor=N
        )
        piece.backward()
    assert whole.grad is not None
    assert part.grad is not None
    close(part.grad, whole.grad)


@pytest.mark.parametrize("chunk", [1, 10, None])
def test_likelihood_equals_cross_entropy(chunk: int | None) -> None:
    hidden, weight, bias, *_ = parts(4)
    targets = torch.randint(0, V, (N,), generator=torch.Generator().manual_seed(5))
    truth = torch.nn.functional.cross_entropy(hidden @ weight.t() + bias, targets, reduction="sum") / 50.0
    truth_grads = torch.autograd.grad(truth, [hidden, weight, bias])
    single = [x.detach().float().requires_grad_() for x in (hidden, weight, bias)]
    loss, nll, _ = negative_log_likelihood(
        single[0], Head(single[1], single[2]), targets, divisor=50.0, chunk_tokens=chunk
    )
    close(loss, truth)
    close(nll.sum() / 50.0, truth)
    for ours, expected in zip(torch.autograd.grad(loss, single), truth_grads, strict=True):
        close(ours, expected)


@pytest.mark.parametrize("chunk", [7, None])
def test_weighted_likelihood_equals_weighted_cross_entropy(chunk: int | None) -> None:
    hidden, weight, bias, *_ = parts(7)
    generator = torch.Generator().manual_seed(8)
    targets = torch.randint(0, V, (N,), generator=generator)
    weights = torch.randn(N, generator=generator)
    each = torch.nn.functional.cross_entropy(hidden @ weight.t() + bias, targets, reduction="none")
    truth = (each * weights.double()).sum() / 20.0
    truth_grads = torch.autograd.grad(truth, [hidden, weight, bias])
    single = [x.detach().float().requires_grad_() for x in (hidden, weight, bias)]
    loss, nll, _ = negative_log_likelihood(
        single[0], Head(single[1], single[2]), targets, weights_N=weights, divisor=20.0, chunk_tokens=chunk
    )
    close(loss, truth)
    close(nll, each.detach())
    for ours, expected in zip(torch.autograd.grad(loss, single), truth_grads, strict=True):
        close(ours, expected)


def test_bfloat16_hidden_states_stay_close() -> None:
    hidden, weight, _, teacher_hidden, teacher_weight = (x.detach().bfloat16() for x in parts(6))
    loss, _ = generalized_jsd(
        hidden.requires_grad_(), Head(weight), teacher_hidden, Head(teacher_weight), beta=1.0, divisor=N
    )
    truth = naive(hidden.double() @ weight.double().t(), teacher_hidden.double() @ teacher_weight.double().t(), 1.0)
    close(loss, truth.mean(), relative=3e-2)
