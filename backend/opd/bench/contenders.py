"""The trainers that are measured, each with a clock for its phases and a check of its loss.

In: a `Workload`. Out: a `Contender`: a trainer whose own `train()` is run, and the loss it gives to rows that it did
not write. TRL's trainers are left as they come; the clock only wraps their methods.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from opd.bench.workloads import Workload, make_prompts, make_student, make_teacher, text_of
from opd.training.decoding import Completion, generate
from opd.training.plan import WindowPlan
from opd.training.signals import LocalDistribution
from opd.training.timing import PhaseClock
from opd.training.trainer import OPDTrainer
from opd.training.window import Row, split_window
from opd.training.window_trainer import Hooks, Recipe, WindowTotals

Name = Literal["opd", "gold", "distillation"]
NAMES: tuple[Name, ...] = get_args(Name)
LABELS: Mapping[Name, str] = {
    "opd": "OPD Studio",
    "gold": "TRL GOLDTrainer",
    "distillation": "TRL DistillationTrainer",
}
PHASES = ("rollout", "teacher", "student", "loss", "backward", "optimizer")
_ENDLESS = 1_000_000  # steps; every loop is stopped from outside
_IGNORED = -100


@dataclass(frozen=True)
class Contender:
    """One trainer. `gradient_of` accumulates the gradient of the mean loss over (prompt, completion) rows of equal
    lengths and gives the loss."""

    name: Name
    trainer: Any
    clock: PhaseClock
    gradient_of: Callable[[Sequence[Row]], float]


def make_contender(name: Name, workload: Workload, device: torch.device, scratch: Path) -> Contender:
    """A trainer with models of its own; every contender's have the same weights."""
    return {"opd": _ours, "gold": _gold, "distillation": _distillation}[name](workload, device, scratch)


def forced_rows(workload: Workload, device: torch.device) -> list[Row]:
    """Rows of one micro-batch, as the untrained student completes them greedily."""
    student = make_student(workload, device)
    prompts = make_prompts(workload)[: workload.rows // workload.accumulation]
    prompts = [ids[: len(prompts[0])] for ids in prompts]
    written = generate(
        student.model,
        prompts,
        seeds=range(len(prompts)),
        max_new_tokens=workload.completion_tokens,
        eos_ids=student.eos_ids,
        pad_id=student.pad_id,
        temperature=0,
    )
    return [Row(tuple(p), Completion(c.ids, c.finished), True) for p, c in zip(prompts, written, strict=True)]


def _ours(workload: Workload, device: torch.device, scratch: Path) -> Contender:
    answer = Completion(tuple(1 + i % (workload.vocabulary - 1) for i in range(workload.completion_tokens)), True)
    trainer = OPDTrainer(
        make_student(workload, device),
        LocalDistribution(make_teacher(workload, device, _teacher_dtype(device)), beta=workload.beta),
        make_prompts(workload),
        WindowPlan(workload.rows, workload.rows, _ENDLESS, workload.on_policy_fraction, workload.seed),
        Recipe(
            learning_rate=workload.learning_rate,
            warmup_steps=0,
            lr_schedule="constant",
            micro_batch_size=workload.micro_batch_rows,
            max_completion_tokens=workload.completion_tokens,
            seed=workload.seed,
        ),
        answers=[answer] * workload.rows,
        hooks=Hooks(),
        output_dir=scratch,
    )

    def gradient_of(rows: Sequence[Row]) -> float:
        tokens = sum(len(row.completion.ids) for row in rows)
        batches = split_window(rows, pad_id=trainer.student.pad_id, device=device)
        return sum(float(trainer.accumulate(batch, float(tokens), WindowTotals())) for batch in batches)

    return Contender("opd", trainer, trainer.clock, gradient_of)


def _gold(workload: Workload, device: torch.device, scratch: Path) -> Contender:
    from opd.training.stock import gold_trainer

    student = make_student(workload, device)
    trainer = gold_trainer(
        student.model,
        make_teacher(workload, device, _teacher_dtype(device)),
        student.tokenizer,
        [text_of(ids) for ids in make_prompts(workload)],
        [text_of([1] * workload.completion_tokens)] * workload.rows,
        max_length=max(workload.prompt_tokens) + workload.completion_tokens + 1,  # one for the end token it appends
        **_stock_settings(workload, device, scratch),
    )
    clock = PhaseClock(device)
    trainer._fill_buffer = _timed(trainer._fill_buffer, clock, "rollout")
    trainer.compute_loss = _timed(trainer.compute_loss, clock, "loss")
    trainer.model.forward = _timed(trainer.model.forward, clock, "student")
    trainer.teacher_model.forward = _timed(trainer.teacher_model.forward, clock, "teacher")
    trainer.accelerator.backward = _timed(trainer.accelerator.backward, clock, "backward")

    def inputs(rows: Sequence[Row]) -> dict[str, Tensor]:
        prompts, completions = _tensors(rows, device)
        ids = torch.cat([prompts, completions], dim=1)
        labels = ids.clone()
        labels[:, : prompts.shape[1]] = _IGNORED
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}

    return Contender("gold", trainer, clock, _stock_gradient(trainer, inputs))


def _distillation(workload: Workload, device: torch.device, scratch: Path) -> Contender:
    from opd.training.stock import distillation_trainer

    student = make_student(workload, device)
    trainer = distillation_trainer(
        student.model,
        make_teacher(workload, device, _teacher_dtype(device)),
        student.tokenizer,
        [text_of(ids) for ids in make_prompts(workload)],
        **_stock_settings(workload, device, scratch),
    )
    clock = PhaseClock(device)
    hidden = trainer._get_last_hidden_state

    @functools.wraps(hidden)
    def timed_hidden(model: Any, *args: Any, **kwargs: Any) -> Any:
        with clock("student" if model is trainer.accelerator.unwrap_model(trainer.model) else "teacher"):
            return hidden(model, *args, **kwargs)

    trainer._get_last_hidden_state = timed_hidden
    trainer._generate_and_score_completions = _timed(trainer._generate_and_score_completions, clock, "rollout")
    trainer.compute_loss = _timed(trainer.compute_loss, clock, "loss")
    trainer.accelerator.backward = _timed(trainer.accelerator.backward, clock, "backward")

    def inputs(rows: Sequence[Row]) -> dict[str, Tensor]:
        prompts, completions = _tensors(rows, device)
        return {
            "prompt_ids": prompts,
            "prompt_mask": torch.ones_like(prompts),
            "completion_ids": completions,
            "completion_mask": torch.ones_like(completions),
            "num_items_in_batch": torch.tensor(completions.numel()),
        }

    return Contender("distillation", trainer, clock, _stock_gradient(trainer, inputs))


def _stock_gradient(
    trainer: Any, inputs: Callable[[Sequence[Row]], dict[str, Tensor]]
) -> Callable[[Sequence[Row]], float]:
    def gradient_of(rows: Sequence[Row]) -> float:
        trainer.model.train()
        tokens = torch.tensor(sum(len(row.completion.ids) for row in rows))
        with trainer.compute_loss_context_manager():
            loss = trainer.compute_loss(trainer.model, inputs(rows), num_items_in_batch=tokens)
        trainer.accelerator.backward(loss)
        return float(loss)

    return gradient_of


def _stock_settings(workload: Workload, device: torch.device, scratch: Path) -> dict[str, Any]:
    return {
        "beta": workload.beta,
        "output_dir": scratch,
        "device": device,
        "rows": workload.rows,
        "accumulation": workload.accumulation,
        "completion_tokens": workload.completion_tokens,
        "learning_rate": workload.learning_rate,
        "num_steps": _ENDLESS,
        "seed": workload.seed,
    }


def _tensors(rows: Sequence[Row], device: torch.device) -> tuple[Tensor, Tensor]:
    return (
        torch.tensor([row.prompt_ids for row in rows], device=device),
        torch.tensor([row.completion.ids for row in rows], device=device),
    )


def _teacher_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on GPUs that support it, as in a run."""
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32


def _timed(function: Callable[..., Any], clock: PhaseClock, phase: str) -> Callable[..., Any]:
    """The same function on the clock. What runs inside a rollout stays a part of the rollout."""

    @functools.wraps(function)
    def timed(*args: Any, **kwargs: Any) -> Any:
        if clock.is_open("rollout"):
            return function(*args, **kwargs)
        with clock(phase):
            return function(*args, **kwargs)

    return timed
