"""OPDTrainer with real tiny models: the gradient of a window, lambda, exact resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from opd.errors import DivergedError
from opd.training import checkpoint
from opd.training.decoding import Completion
from opd.training.gold import GoldTrainer
from opd.training.models import Student
from opd.training.plan import WindowPlan
from opd.training.signals import Likelihood, LocalDistribution
from opd.training.trainer import OPDTrainer
from opd.training.window import Row, split_window
from opd.training.window_trainer import Hooks, Metrics, Recipe
from tiny import make_model, make_tokenizer

PROMPTS = [[5, 6, 7], [8, 9, 10, 11, 12, 13], [3, 4], [20, 21, 22, 23], [30], [31, 32, 33], [40, 41]]
ANSWERS = [Completion((50 + i, 60, 2), True) for i in range(7)]
RECIPE = Recipe(learning_rate=1e-3, warmup_steps=2, max_completion_tokens=10)


class Run:
    """One training stage on fresh models, and what it logged."""

    def __init__(self, folder: Path, *, steps: int = 12, share: float = 1.0, adapter: bool = False, **changes: Any):
        self.log: dict[int, Metrics] = {}
        self.stop_after: int | None = changes.pop("stop_after", None)
        beta, gold = changes.pop("beta", 1.0), changes.pop("gold", False)
        signal = changes.pop("signal", None) or LocalDistribution(make_model(seed=5), beta=beta)
        model = make_model(seed=0).train()
        if adapter:
            from peft import LoraConfig, get_peft_model

            torch.manual_seed(0)
            model = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
        self.student = Student(model, make_tokenizer(), None, (2,), 0, adapter)  # type: ignore[arg-type]  # no facts
        hooks = Hooks(
            on_step=self.log.__setitem__,
            should_stop=lambda: self.trainer.state.global_step == self.stop_after,
            save_every=4,
            save_root=folder / "checkpoints",
        )
        plan = WindowPlan(len(PROMPTS), 8, steps, share, 3)
        common: dict[str, Any] = {"answers": ANSWERS, "hooks": hooks, "output_dir": folder / "scratch"}
        recipe = replace(RECIPE, **changes)
        self.trainer: Any = (
            GoldTrainer(self.student, make_model(seed=5), PROMPTS, plan, recipe, beta=beta, **common)
            if gold
            else OPDTrainer(self.student, signal, PROMPTS, plan, recipe, **common)
        )

    def weights(self) -> dict[str, torch.Tensor]:
        return {k: v.clone() for k, v in self.student.model.state_dict().items()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[k], other[k]) for k in one)


NOT_TIMES = ("loss", "grad_norm", "reverse_kl", "entropy", "completion_tokens/mean", "learning_rate", "num_tokens")


@pytest.mark.parametrize(("share", "adapter"), [(1.0, False), (0.4, False), (1.0, True)])
@pytest.mark.parametrize("stop_after", [5, 9])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path, share: float, adapter: bool, stop_after: int) -> None:
    whole = Run(tmp_path / "whole", share=share, adapter=adapter)
    whole.trainer.train()

    broken = Run(tmp_path / "broken", share=share, adapter=adapter, stop_after=stop_after)
    broken.trainer.train()
    found, _ = checkpoint.newest_verified(tmp_path / "broken" / "checkpoints")
    assert found is not None
    assert found.step == stop_after // 4 * 4

    resumed = Run(tmp_path / "broken", share=share, adapter=adapter)
    torch.manual_seed(999)  # whatever happened in between must not matter
    resumed.trainer.train(resume_from_checkpoint=str(found.path))
    assert equal(whole.weights(), resumed.weights())
    assert sorted(resumed.log) == list(range(found.step + 1, 13))
    for step, metrics in resumed.log.items():
        assert {k: metrics[k] for k in NOT_TIMES} == {k: whole.log[step][k] for k in NOT_TIMES}


def gradient(run: Run) -> dict[str, torch.Tensor]:
    """The gradient of the first window, before clipping and the optimizer."""
    run.trainer.training_step(run.trainer.model, run.trainer.plan[0])
    return {n: p.grad.clone() for n, p in run.student.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_accumulation_changes_nothing(tmp_path: Path, beta: float) -> None:
    whole = gradient(Run(tmp_path / "a", beta=beta))
    for size in (1, 3, 4):
        parts = gradient(Run(tmp_path / f"b{size}", beta=beta, micro_batch_size=size))
        for name in whole:
            torch.testing.assert_close(parts[name], whole[name], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_the_windows_gradient_is_that_of_the_definition(tmp_path: Path, beta: float) -> None:
    """Row by row without any padding, whole logits, float64, plain autograd."""
    run = Run(tmp_path, beta=beta)
    rows = run.trainer.roll_out(run.trainer.plan[0])
    ours = gradient(run)
    student, teacher = make_model(seed=0).double(), make_model(seed=5).double()
    tokens = sum(len(row.completion.ids) for row in rows)
    for row in rows:
        ids = torch.tensor([[*row.prompt_ids, *row.completion.ids]])
        scored = slice(len(row.prompt_ids) - 1, ids.shape[1] - 1)
        q = student(ids).logits[0, scored].log_softmax(-1)
        p = teacher(ids).logits[0, scored].log_softmax(-1).detach()
        if beta == 0:
            loss = (p.exp() * (p - q)).sum()
        elif beta == 1:
            loss = (q.exp() * (q - p)).sum()
        else:
            m = (beta * p.exp() + (1 - beta) * q.exp()).log()
            loss = beta * (p.exp() * (p - m)).sum() + (1 - beta) * (q.exp() * (q - m)).sum()
        (loss / tokens).backward()
    for name, parameter in student.named_parameters():
        if parameter.grad is not None:
            error = (ours[name].double() - parameter.grad).norm() / parameter.grad.norm().clamp(min=1e-12)
            assert error < 1e-5, name


def test_lambda_0_trains_on_the_teachers_answers_alone(tmp_path: Path) -> None:
    run = Run(tmp_path, share=0.0)
    rows = run.trainer.roll_out(run.trainer.plan[0])
    assert [row.completion for row in rows] == [ANSWERS[p.prompt] for p in run.trainer.plan[0]]
    run.trainer.train()
    assert all(metrics["on_policy_share"] == 0 for metrics in run.log.values())
    assert "reverse_kl" not in run.log[1], "there is no student text to measure it on"


def test_lambda_1_trains_on_what_the_student_writes_now(tmp_path: Path) -> None:
    run = Run(tmp_path)
    before = [row.completion for row in run.trainer.roll_out(run.trainer.plan[3])]
    run.trainer.train()
    after = [row.completion for row in run.trainer.roll_out(run.trainer.plan[3])]
    assert before != after
    assert all(metrics["on_policy_share"] == 1 for metrics in run.log.values())


def test_distillation_lowers_the_divergence_and_sft_the_likelihood_loss(tmp_path: Path) -> None:
    run = Run(tmp_path / "opd", steps=60, learning_rate=1e-2)
    run.trainer.train()
    assert run.log[60]["reverse_kl"] < 0.7 * run.log[1]["reverse_kl"]  # type: ignore[operator]
    sft = Run(tmp_path / "sft", steps=60, share=0.0, signal=Likelihood(), learning_rate=3e-3)
    sft.trainer.train()
    assert sft.log[60]["loss"] < 0.3 * sft.log[1]["loss"]  # type: ignore[operator]


def test_a_teacher_that_is_the_student_teaches_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path, signal=LocalDistribution(make_model(seed=0), beta=1.0))
    norm = sum(g.norm() ** 2 for g in gradient(run).values()) ** 0.5
    assert norm < 1e-4


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    teacher = make_model(seed=5)
    torch.nn.init.constant_(teacher.model.norm.weight, float("nan"))
    with pytest.raises(DivergedError, match="step 1"):
        Run(tmp_path, signal=LocalDistribution(teacher, beta=1.0)).trainer.train()


def test_windows_are_cut_by_rows_and_tokens_and_lose_nothing() -> None:
    rows = [Row(tuple(range(3, 3 + i)), Completion(tuple(range(9, 9 + i)), False), True) for i in range(1, 8)]
    for limits in ({}, {"max_rows": 2}, {"max_tokens": 20}, {"max_rows": 3, "max_tokens": 1}):
        batches = split_window(rows, pad_id=0, device=torch.device("cpu"), **limits)
        assert sum(len(b.targets_N) for b in batches) == sum(range(1, 8))
        assert all(b.input_ids_BL.shape[0] <= limits.get("max_rows", 99) for b in batches)
        for batch in batches:
            shifted = batch.input_ids_BL.reshape(-1)[batch.scored_N + 1]
            assert torch.equal(shifted, batch.targets_N)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_gold_gives_the_same_gradient_and_metrics_whatever_the_accumulation(tmp_path: Path, beta: float) -> None:
    ours = Run(tmp_path / "ours", beta=beta)
    whole = gradient(ours)
    for size in (None, 3):
        gold = Run(tmp_path / f"gold{size}", beta=beta, micro_batch_size=size, gold=True)
        for name, value in gradient(gold).items():
            torch.testing.assert_close(value, whole[name], rtol=1e-3, atol=1e-6)
        for key, value in gold.trainer._window_metrics.items():
            assert value == pytest.approx(ours.trainer._window_metrics[key], rel=1e-4)


def test_gold_resumes_exactly(tmp_path: Path) -> None:
    whole = Run(tmp_path / "whole", gold=True)
    whole.trainer.train()
    broken = Run(tmp_path / "broken", gold=True, stop_after=9)
    broken.trainer.train()
    resumed = Run(tmp_path / "broken", gold=True)
    resumed.trainer.train(resume_from_checkpoint=str(tmp_path / "broken" / "checkpoints" / "step-000008"))
    assert equal(whole.weights(), resumed.weights())
