"""OPDTrainer: TRL's DistillationTrainer with our own path from prompt to gradient.

From TRL and Transformers come the optimizer, schedule, mixed precision, clipping, distributed plumbing and the loop.
Ours are the window (one generation an optimizer step, whatever the micro-batch), the mixture of student rollouts and
teacher answers (lambda), the divisor (completion tokens of the whole window), the fused loss, and the checkpoint.

In: a `Student`, a `Signal`, prompts as ids, a `WindowPlan`. Out: a call of `on_step` with the step's metrics.
Knows nothing of runs, events or files other than the checkpoint folder it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainerControl, TrainerState
from trl import DistillationConfig, DistillationTrainer

from opd.errors import DivergedError
from opd.objectives.divergence import head_of
from opd.store.files import read_json
from opd.training import checkpoint
from opd.training.decoding import Completion, generate
from opd.training.models import Student, backbone_of, causal_lm_of
from opd.training.plan import PlannedRow, WindowPlan
from opd.training.signals import Signal
from opd.training.timing import PhaseClock
from opd.training.window import MicroBatch, Row, hidden_states, split_window

Metrics = dict[str, float | None]


@dataclass(frozen=True)
class Recipe:
    """Numbers of one training stage."""

    learning_rate: float
    warmup_steps: int
    lr_schedule: str = "linear"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    micro_batch_size: int | None = None
    max_completion_tokens: int = 512
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0


@dataclass
class Hooks:
    """Doors to the outside; every one may be left as it is."""

    on_step: Callable[[int, Metrics], None] = lambda step, metrics: None
    should_stop: Callable[[], bool] = lambda: False
    save_every: int | None = None
    save_root: Path | None = None
    save_keep: int = 2
    save_facts: Callable[[], dict[str, Any]] = dict
    on_saved: Callable[[checkpoint.Checkpoint], None] = lambda saved: None
    at_commit: Callable[[str], None] = lambda point: None


@dataclass
class _Totals:
    """Sums over the tokens of one window."""

    tokens: int = 0
    on_policy_tokens: int = 0
    entropy: float = 0.0
    teacher_entropy: float | None = None
    reverse_kl: float | None = None
    lengths: list[int] = field(default_factory=list)
    finished: int = 0
    on_policy_rows: int = 0


class OPDTrainer(DistillationTrainer):
    """One training stage (distillation, warm start or baseline) of one student.

    Args:
        student: the model that learns, its tokenizer and end tokens.
        signal: where the gradient comes from.
        prompt_ids: training prompts through the chat template.
        answers: the teacher's cached answer to each prompt; needed where the plan has rows that are not on-policy.
        plan: rows of every step.
        recipe: learning rate and the like.
        hooks: what happens around a step.
        output_dir: scratch folder; nothing is left there.
    """

    _name = "OPD"

    def __init__(
        self,
        student: Student,
        signal: Signal,
        prompt_ids: Sequence[Sequence[int]],
        plan: WindowPlan,
        recipe: Recipe,
        *,
        answers: Sequence[Completion] | None = None,
        hooks: Hooks | None = None,
        output_dir: Path,
    ):
        if plan.on_policy_fraction < 1 and answers is None:
            raise ValueError("a plan with rows that are not on-policy needs the teacher's answers")
        self.student, self.signal, self.prompt_ids, self.plan = student, signal, prompt_ids, plan
        self.recipe, self.answers, self.hooks = recipe, answers, hooks or Hooks()
        device = next(student.model.parameters()).device
        super().__init__(
            model=student.model,
            args=_arguments(plan, recipe, device, output_dir),
            train_dataset=Dataset.from_dict({"prompt": [""] * len(prompt_ids)}),
            processing_class=student.tokenizer,
            callbacks=[_StopAndSave(self)],
        )
        self.clock = PhaseClock(device)
        self._window_metrics: Metrics = {}
        self._tokens_seen = 0

    # --- the window -----------------------------------------------------------------------------

    def get_train_dataloader(self) -> DataLoader[list[PlannedRow]]:
        """One item an optimizer step; a resumed run skips to its step without looking at the items before it."""
        return DataLoader(self.plan, batch_size=1, shuffle=False, collate_fn=lambda items: items[0])  # type: ignore[arg-type]  # any Sequence is a dataset

    def training_step(self, model: Any, inputs: list[PlannedRow], num_items_in_batch: Any = None) -> torch.Tensor:
        """Roll out, score, and accumulate the gradient of one window."""
        with self.clock("rollout"):
            rows = self.roll_out(inputs)
        with self.clock("teacher"):
            self.signal.score(rows)
        model.train()
        batches = split_window(
            rows, pad_id=self.student.pad_id, device=self.args.device, max_rows=self.recipe.micro_batch_size
        )
        totals = _Totals(
            lengths=[len(row.completion.ids) for row in rows],
            finished=sum(row.completion.finished for row in rows),
            on_policy_rows=sum(row.on_policy for row in rows),
        )
        divisor = float(sum(totals.lengths))
        if divisor == 0:
            raise DivergedError(
                "No row of this step holds a completion token, so there is nothing to learn from.",
                hint="Look at the samples: the student ends every answer at once. Resume with a lower learning rate.",
            )
        loss = torch.zeros((), device=self.args.device)
        for index, batch in enumerate(batches):
            last = index == len(batches) - 1
            with self.accelerator.no_sync(model) if not last else nullcontext():
                loss = loss + self._accumulate(batch, divisor, totals)
        if not math.isfinite(loss.item()):
            raise _diverged("loss", self.state.global_step + 1)
        self._window_metrics = self._describe(totals)
        return loss

    def roll_out(self, planned: Sequence[PlannedRow]) -> list[Row]:
        """Completions of a window: one generation for all rows that the student writes, cached answers for the rest."""
        own = [row for row in planned if row.on_policy]
        written = iter(self.complete([self.prompt_ids[row.prompt] for row in own], [row.seed for row in own]))
        rows = []
        for row in planned:
            answer = next(written) if row.on_policy else self.answers[row.prompt]  # type: ignore[index]  # see __init__
            rows.append(Row(tuple(self.prompt_ids[row.prompt]), answer, row.on_policy))
        return rows

    def complete(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> list[Completion]:
        """Sample one completion a prompt from the student as it is now."""
        if not prompts:
            return []
        return generate(
            self.accelerator.unwrap_model(self.model_wrapped),
            prompts,
            seeds=seeds,
            max_new_tokens=self.recipe.max_completion_tokens,
            eos_ids=self.student.eos_ids,
            pad_id=self.student.pad_id,
            temperature=self.recipe.temperature,
            top_p=self.recipe.top_p,
        )

    def _accumulate(self, batch: MicroBatch, divisor: float, totals: _Totals) -> torch.Tensor:
        model = self.accelerator.unwrap_model(self.model_wrapped)
        with self.compute_loss_context_manager():
            with self.clock("student"):
                hidden = hidden_states(backbone_of(model), batch)
            part = self.signal.loss(batch, hidden, head_of(causal_lm_of(model)), divisor, self.clock)
        with self.clock("backward"):
            self.accelerator.backward(part.loss)
        totals.tokens += len(batch.targets_N)
        totals.on_policy_tokens += int(batch.on_policy_N.sum())
        totals.entropy += float(part.entropy_N.sum())
        if part.teacher_entropy_N is not None:
            totals.teacher_entropy = (totals.teacher_entropy or 0.0) + float(part.teacher_entropy_N.sum())
        if part.reverse_kl_N is not None:
            own = part.reverse_kl_N[batch.on_policy_N]
            totals.reverse_kl = (totals.reverse_kl or 0.0) + float(own.sum())
        return part.loss.detach()

    def _describe(self, totals: _Totals) -> Metrics:
        rows, tokens = len(totals.lengths), totals.tokens
        self._tokens_seen += tokens
        metrics: Metrics = {
            "entropy": totals.entropy / tokens,
            "completion_tokens/mean": tokens / rows,
            "completion_tokens/max": float(max(totals.lengths)),
            "truncated_share": 1 - totals.finished / rows,
            "eos_share": totals.finished / rows,
            "on_policy_share": totals.on_policy_rows / rows,
            "num_tokens": float(self._tokens_seen),
        }
        if totals.teacher_entropy is not None:
            metrics["teacher_entropy"] = totals.teacher_entropy / tokens
        if totals.reverse_kl is not None and totals.on_policy_tokens:
            metrics["reverse_kl"] = totals.reverse_kl / totals.on_policy_tokens
        return metrics

    # --- what leaves the trainer ------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Called by the loop after every optimizer step; hands the step's metrics on instead of collecting them."""
        if "loss" not in logs:
            return  # the loop's closing summary, which the run's summary replaces
        if not math.isfinite(logs.get("grad_norm", 0.0)):
            raise _diverged("gradient", self.state.global_step)
        times = self.clock.take()
        known = sum(v for k, v in times.items() if k != "time/step_s")
        times["time/optimizer_s"] = max(0.0, times["time/step_s"] - known)
        tokens = self._window_metrics["completion_tokens/mean"] or 0.0
        speed = tokens * self.plan.rows_per_step / times["time/step_s"]
        kept: Metrics = {k: float(logs[k]) for k in ("loss", "grad_norm", "learning_rate") if k in logs}
        self.hooks.on_step(self.state.global_step, {**kept, **self._window_metrics, "tokens_per_s": speed, **times})

    # --- checkpoints -------------------------------------------------------------------------------

    def save_now(self) -> checkpoint.Checkpoint:
        """Write a verified checkpoint of the current step."""
        assert self.hooks.save_root is not None  # noqa: S101  # callers ask only where a folder was given
        facts = {**self.hooks.save_facts(), "tokens_seen": self._tokens_seen}
        saved = checkpoint.commit(
            self.hooks.save_root,
            self.state.global_step,
            self._write_checkpoint,
            facts,
            keep=self.hooks.save_keep,
            at=self.hooks.at_commit,
        )
        self.hooks.on_saved(saved)
        return saved

    def _write_checkpoint(self, folder: Path) -> None:
        checkpoint.save_learned(self.accelerator.unwrap_model(self.model_wrapped), folder)
        checkpoint.save_optimizer(self.optimizer, self.lr_scheduler, folder)
        checkpoint.save_rng(folder)
        self.state.save_to_json(str(folder / checkpoint.TRAINER_STATE))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.save_now()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        checkpoint.load_learned(model if model is not None else self.model, folder)
        self._tokens_seen = int(read_json(folder / checkpoint.MANIFEST).get("tokens_seen", 0))

    def _load_optimizer_and_scheduler(self, checkpoint_path: str | None) -> None:
        if checkpoint_path is not None:
            checkpoint.load_optimizer(self.optimizer, self.lr_scheduler, Path(checkpoint_path))

    def _load_rng_state(self, checkpoint_path: str | None) -> None:
        if checkpoint_path is not None:
            checkpoint.load_rng(Path(checkpoint_path))

    def _load_scaler(self, checkpoint_path: str | None) -> None:
        """Nothing to load: bfloat16 needs no loss scaling, and float16 training is not offered."""


class _StopAndSave(TrainerCallback):
    """Looks after every step whether to save and whether to stop."""

    def __init__(self, trainer: OPDTrainer):
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.trainer.clock.take()  # what came before the first step is not its time

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> TrainerControl:
        hooks = self.trainer.hooks
        stop = hooks.should_stop()
        control.should_log = True
        control.should_training_stop = control.should_training_stop or stop
        due = hooks.save_every is not None and state.global_step % hooks.save_every == 0
        control.should_save = hooks.save_root is not None and due and not stop
        return control


def _arguments(plan: WindowPlan, recipe: Recipe, device: torch.device, output_dir: Path) -> DistillationConfig:
    schedules = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}
    return DistillationConfig(
        output_dir=str(output_dir),
        max_steps=plan.num_steps,
        per_device_train_batch_size=plan.rows_per_step,
        gradient_accumulation_steps=1,  # a window is one item; `training_step` accumulates over micro-batches
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=schedules[recipe.lr_schedule],
        warmup_steps=recipe.warmup_steps,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        seed=recipe.seed,
        disable_dropout=True,
        activation_checkpointing=False,
        bf16=device.type == "cuda" and torch.cuda.is_bf16_supported(),
        use_cpu=device.type == "cpu",
        save_strategy="no",  # `_StopAndSave` decides; the stock rotation knows nothing of manifests
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,  # a NaN must be seen, not replaced by an average
        report_to=[],
        disable_tqdm=True,
        dataloader_num_workers=0,
        temperature=recipe.temperature,
        max_completion_length=recipe.max_completion_tokens,
    )


def _diverged(what: str, step: int) -> DivergedError:
    return DivergedError(
        f"The {what} of step {step} is not a finite number; training stopped there.",
        hint="The last checkpoint before it is kept. Resume with a lower learning rate, or a smaller max_grad_norm.",
        details={"step": step},
    )
