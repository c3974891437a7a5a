"""The policy gradient's expectation, by enumerating every token that could have been sampled."""

from __future__ import annotations

import torch

from opd.objectives.policy_gradient import sampled_token_policy_gradient

V = 7


def test_expected_gradient_is_that_of_the_reverse_kl() -> None:
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(V, generator=generator, dtype=torch.float64).requires_grad_()
    teacher = torch.log_softmax(torch.randn(V, generator=generator, dtype=torch.float64), -1)
    log_q = torch.log_softmax(student, -1)
    loss = sampled_token_policy_gradient(log_q, log_q.detach(), teacher)
    (grad,) = torch.autograd.grad((log_q.exp().detach() * loss).sum(), student, retain_graph=True)
    (expected,) = torch.autograd.grad((log_q.exp() * (log_q - teacher)).sum(), student)
    torch.testing.assert_close(grad, expected, rtol=1e-10, atol=1e-12)


def test_samples_of_older_weights_are_reweighted_to_the_present_ones() -> None:
    generator = torch.Generator().manual_seed(1)
    student = torch.randn(V, generator=generator, dtype=torch.float64).requires_grad_()
    sampler, teacher = torch.log_softmax(torch.randn(2, V, generator=generator, dtype=torch.float64), -1)
    log_q = torch.log_softmax(student, -1)
    loss = sampled_token_policy_gradient(log_q, sampler, teacher)
    (grad,) = torch.autograd.grad((sampler.exp() * loss).sum(), student, retain_graph=True)
    # Σ_y π_old(y) ratio(y) A(y) = Σ_y π_θ(y) A(y), so the gradient is that of -Σ π_θ (log π_T - log π_old).
    (expected,) = torch.autograd.grad(-(log_q.exp() * (teacher - sampler)).sum(), student)
    torch.testing.assert_close(grad, expected, rtol=1e-10, atol=1e-12)


def test_a_capped_ratio_takes_its_token_out() -> None:
    student = torch.tensor([-0.5, -3.0], requires_grad=True)
    loss = sampled_token_policy_gradient(student, torch.tensor([-3.0, -3.0]), torch.tensor([-1.0, -1.0]), ratio_cap=2.0)
    torch.testing.assert_close(loss.detach(), torch.tensor([-4.0, -2.0]))
    (grad,) = torch.autograd.grad(loss.sum(), student)
    torch.testing.assert_close(grad, torch.tensor([0.0, -2.0]))


def test_the_teacher_and_the_sampler_get_no_gradient() -> None:
    student, sampler, teacher = (torch.tensor([-1.0], requires_grad=True) for _ in range(3))
    sampled_token_policy_gradient(student, sampler, teacher + 0.5).sum().backward()
    assert student.grad is not None
    assert student.grad.item() == -0.5
    assert sampler.grad is None
    assert teacher.grad is None
