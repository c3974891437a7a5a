"""Top-k divergences against sums written from the definition, in float64, over a vocabulary one can enumerate."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from opd.objectives.topk import topk_forward_kl, topk_reverse_kl

N, V = 11, 9


def laws(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student = torch.randn(N, V, generator=generator, dtype=torch.float64).requires_grad_()
    teacher = torch.log_softmax(torch.randn(N, V, generator=generator, dtype=torch.float64) * 2, -1)
    return student, teacher


def enumerate_divergence(student: Tensor, teacher: Tensor, rows: list[list[int]], reverse: bool) -> Tensor:
    """Token by token: the returned ids are outcomes of their own, all the others are one outcome."""
    losses = []
    for row, kept in enumerate(rows):
        q, p = torch.softmax(student[row], -1), teacher[row].exp()
        others = [v for v in range(V) if v not in kept]
        outcomes = [[v] for v in kept] + ([others] if others else [])
        total = torch.zeros((), dtype=torch.float64)
        for outcome in outcomes:
            q_b = torch.stack([q[v] for v in outcome]).sum()
            p_b = torch.stack([p[v] for v in outcome]).sum()
            total = total + (q_b * (q_b / p_b).log() if reverse else p_b * (p_b / q_b).log())
        losses.append(total)
    return torch.stack(losses)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("k", [1, 3, V - 1, V])
def test_value_and_gradient_equal_enumeration(k: int, reverse: bool) -> None:
    student, teacher = laws()
    logprobs, ids = teacher.topk(k, -1)
    loss = (topk_reverse_kl if reverse else topk_forward_kl)(student, ids, logprobs)
    truth = enumerate_divergence(student, teacher, ids.tolist(), reverse)
    torch.testing.assert_close(loss, truth, rtol=1e-9, atol=1e-10)
    weights = torch.arange(1.0, N + 1, dtype=torch.float64)
    (grad,) = torch.autograd.grad((loss * weights).sum(), student, retain_graph=True)
    (expected,) = torch.autograd.grad((truth * weights).sum(), student)
    torch.testing.assert_close(grad, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("reverse", [False, True])
def test_all_tokens_returned_is_the_divergence_over_the_vocabulary(reverse: bool) -> None:
    student, teacher = laws(1)
    logprobs, ids = teacher.topk(V, -1)
    loss = (topk_reverse_kl if reverse else topk_forward_kl)(student, ids, logprobs)
    log_q = torch.log_softmax(student, -1)
    full = (log_q.exp() * (log_q - teacher)).sum(-1) if reverse else (teacher.exp() * (teacher - log_q)).sum(-1)
    torch.testing.assert_close(loss, full, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("reverse", [False, True])
def test_more_tokens_never_see_less(reverse: bool) -> None:
    student, teacher = laws(2)
    logprobs, ids = teacher.sort(-1, descending=True)
    divergence = topk_reverse_kl if reverse else topk_forward_kl
    by_k = torch.stack([divergence(student, ids[:, :k], logprobs[:, :k]) for k in range(1, V + 1)])
    assert (by_k.diff(dim=0) > -1e-9).all()
    assert (by_k[-1] > by_k[0] + 1e-3).all()


@pytest.mark.parametrize("reverse", [False, True])
def test_rows_of_different_length_are_padded(reverse: bool) -> None:
    student, teacher = laws(3)
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randperm(V, generator=generator)[: 1 + n % V].tolist() for n in range(N)]
    ids = torch.full((N, V), -1)
    logprobs = torch.full((N, V), math.nan, dtype=torch.float64)
    for n, row in enumerate(rows):
        ids[n, : len(row)] = torch.tensor(row)
        logprobs[n, : len(row)] = teacher[n, row]
    loss = (topk_reverse_kl if reverse else topk_forward_kl)(student, ids, logprobs)
    truth = enumerate_divergence(student, teacher, rows, reverse)
    torch.testing.assert_close(loss, truth, rtol=1e-9, atol=1e-10)
    (grad,) = torch.autograd.grad(loss.sum(), student, retain_graph=True)
    torch.testing.assert_close(grad, torch.autograd.grad(truth.sum(), student)[0], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_sure_teacher_and_a_sure_student_stay_finite_in_float32(reverse: bool) -> None:
    student = torch.full((2, V), -40.0)
    student[:, 0] = 40.0
    student.requires_grad_()
    ids = torch.tensor([[0, 1], [1, 2]])
    logprobs = torch.tensor([[-1e-9, -20.0], [1e-7, -18.0]])  # rounded on the wire: Σp may pass 1
    loss = (topk_reverse_kl if reverse else topk_forward_kl)(student, ids, logprobs)
    (grad,) = torch.autograd.grad(loss.sum(), student)
    assert loss.isfinite().all()
    assert grad.isfinite().all()
    assert loss[0].abs() < 1e-3  # they agree
    assert loss[1] > 10  # they do not


def test_no_gradient_where_the_coarsened_laws_agree() -> None:
    _, teacher = laws(4)
    student = teacher.clone().requires_grad_()
    logprobs, ids = teacher.topk(3, -1)
    for divergence in (topk_forward_kl, topk_reverse_kl):
        loss = divergence(student, ids, logprobs)
        (grad,) = torch.autograd.grad(loss.sum(), student)
        assert loss.abs().max() < 1e-12
        assert grad.abs().max() < 1e-12
