"""Listed laws on a model: against the definition, against the whole law, and as the estimate they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from opd.objectives.divergence import head_of
from opd.training.decoding import Completion
from opd.training.listed import ListedLoss, ListedView, LocalLaws
from opd.training.models import backbone_of
from opd.training.signals import LocalDistribution
from opd.training.timing import PhaseClock
from opd.training.views import ViewSignal, judge_rows
from opd.training.window import Row, hidden_states, split_window
from tiny import make_model

CPU = torch.device("cpu")
ROWS = [
    Row((3, 5, 7), Completion((9, 11, 40, 2), True), True),
    Row((3, 8), Completion((12,), False), True),
    Row((4, 4, 4, 4), Completion((60, 61, 2), True), False),
]


def loss_and_gradient(signal: Any, student: Any) -> tuple[torch.Tensor, torch.Tensor, Any]:
    (batch,) = split_window(ROWS, pad_id=0, device=CPU)
    signal.score(ROWS)
    hidden = hidden_states(backbone_of(student), batch)
    part = signal.loss(batch, hidden, head_of(student), 8.0, PhaseClock(CPU))
    (grad,) = torch.autograd.grad(part.loss, hidden)
    return part.loss.detach(), grad, part


@pytest.mark.parametrize(("loss", "beta"), [("topk_forward_kl", 0.0), ("topk_reverse_kl", 1.0)])
def test_all_tokens_listed_are_the_whole_law(loss: ListedLoss, beta: float) -> None:
    student, teacher = make_model(seed=1), make_model(seed=2)
    whole, whole_grad, whole_part = loss_and_gradient(LocalDistribution(teacher, beta=beta, plain=True), student)
    ours, grad, part = loss_and_gradient(ViewSignal(ListedView(LocalLaws(teacher, top_k=97), loss)), student)
    torch.testing.assert_close(ours, whole, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(grad, whole_grad, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(part.entropy_N, whole_part.entropy_N, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(part.reverse_kl_N, whole_part.reverse_kl_N, rtol=1e-4, atol=1e-5)


def test_a_teacher_with_more_outputs_puts_them_into_the_tail() -> None:
    student, wide = make_model(seed=1), make_model(seed=2, vocab_size=120)
    loss, grad, _ = loss_and_gradient(ViewSignal(ListedView(LocalLaws(wide, top_k=8), "topk_forward_kl")), student)
    assert loss.isfinite()
    assert grad.isfinite().all()


def test_the_policy_gradient_has_the_reverse_kl_as_its_mean() -> None:
    """Over every token that the student may write next, its gradient averages to that of the divergence."""
    student, teacher = make_model(seed=1), make_model(seed=2)
    prompt = (3, 5, 7)

    def gradient(signal: Any, tokens: list[int]) -> torch.Tensor:
        rows = [Row(prompt, Completion((token,), False), True) for token in tokens]
        (batch,) = split_window(rows, pad_id=0, device=CPU)
        hidden = hidden_states(backbone_of(student), batch)
        part = signal.loss(batch, hidden, head_of(student), 1.0, PhaseClock(CPU))
        (grad,) = torch.autograd.grad(part.loss, hidden)
        return grad

    with torch.no_grad():
        law = student(torch.tensor([prompt])).logits[0, -1].softmax(-1)
    sampled = ViewSignal(ListedView(LocalLaws(teacher, top_k=1), "policy_gradient"))
    mean = (law[:, None] * gradient(sampled, list(range(97)))).sum(0)
    (exact,) = gradient(LocalDistribution(teacher, beta=1.0, plain=True), [9])
    torch.testing.assert_close(mean, exact, rtol=1e-3, atol=1e-5)


def test_judging_gives_the_facts_of_each_row_in_its_place() -> None:
    student, teacher = make_model(seed=1), make_model(seed=2)
    rows = [ROWS[1], Row((3,), Completion((), False), True), ROWS[0], ROWS[0]]
    view = ListedView(LocalLaws(teacher, top_k=97), "topk_reverse_kl")
    found = judge_rows(student, view, rows, pad_id=0)
    assert [len(row.teacher_logprob_T) for row in found] == [1, 0, 4, 4]
    for row, facts in zip(rows, found, strict=True):
        ids = torch.tensor([[*row.prompt_ids, *row.completion.ids]])
        for model, ours in ((student, facts.student_logprob_T), (teacher, facts.teacher_logprob_T)):
            with torch.no_grad():
                laws = model(ids).logits[0].log_softmax(-1)
            places = range(len(row.prompt_ids) - 1, ids.shape[1] - 1)
            expected = [float(laws[p, t]) for p, t in zip(places, row.completion.ids, strict=True)]
            assert ours.tolist() == pytest.approx(expected, abs=1e-5)
