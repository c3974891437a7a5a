"""The training window on top of any Hugging Face trainer: what OPDTrainer and GoldTrainer share.

From the host trainer come the optimizer, schedule, mixed precision, clipping, distributed plumbing and the loop.
Ours are the window (one generation an optimizer step, whatever the micro-batch), the mixture of student rollouts and
teacher answers (lambda), the divisor (completion tokens of the whole window), metrics, and the checkpoint.

In: a `Student`, prompts as ids, a `WindowPlan`. Out: a call of `on_step` with the step's metrics. Knows nothing of
runs, events or files other than the checkpoint folder it is given.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainerControl, TrainerState

from opd.errors import DivergedError
from opd.store.files import read_json
from opd.training import checkpoint
from opd.training.decoding import Completion, generate
from opd.training.models import Student
from opd.training.plan import PlannedRow, WindowPlan
from opd.training.timing import PhaseClock
from opd.training.window import MicroBatch, Row, split_window

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
    on_gap: Callable[[int, Metrics], None] = lambda step, metrics: None
    """A step that ended the training, with what could be computed of it."""
    should_stop: Callable[[], bool] = lambda: False
    save_every: int | None = None
    save_root: Path | None = None
    save_keep: int = 2
    save_facts: Callable[[], dict[str, Any]] = dict
    before_save: Callable[[int], None] = lambda step: None
    on_saved: Callable[[checkpoint.Checkpoint, float], None] = lambda saved, duration_s: None
    at_commit: Callable[[str], None] = lambda point: None


@dataclass
class WindowTotals:
    """Sums over the tokens of one window."""

    tokens: int = 0
    on_policy_tokens: int = 0
    entropy: float = 0.0
    teacher_entropy: float | None = None
    reverse_kl: float | None = None
    scored_tokens: int | None = None
    """Tokens that got a target from a teacher with another tokenizer; None where every token gets one."""
    lengths: list[int] = field(default_factory=list)
    finished: int = 0
    on_policy_rows: int = 0


class WindowTrainer:
    """Mixin for a `transformers.Trainer`: prepare with `prepare_window` before the host's `__init__`."""

    # the host's own, declared for the reader and the type checker
    accelerator: Any
    args: Any
    state: Any
    model: Any
    model_wrapped: Any
    optimizer: Any
    lr_scheduler: Any
    compute_loss_context_manager: Any

    def prepare_window(
        self,
        student: Student,
        prompt_ids: Sequence[Sequence[int]],
        plan: WindowPlan,
        recipe: Recipe,
        answers: Sequence[Completion] | None,
        hooks: Hooks | None,
        *,
        has_source: bool = False,
    ) -> None:
        """Take what the window needs.

        Raises:
            ValueError: the plan has rows that are not on-policy, and there are no answers.
        """
        if plan.on_policy_fraction < 1 and answers is None and not has_source:
            raise ValueError("a plan with rows that are not on-policy needs the teacher's answers")
        self.student, self.prompt_ids, self.plan = student, prompt_ids, plan
        self.recipe, self.answers, self.hooks = recipe, answers, hooks or Hooks()
        self.clock = PhaseClock(next(student.model.parameters()).device)
        self._window_metrics: Metrics = {}
        self._window_tokens = self._tokens_seen = 0
        self._saved: checkpoint.Checkpoint | None = None

    # --- the window -----------------------------------------------------------------------------

    def get_train_dataloader(self) -> DataLoader[list[PlannedRow]]:
        """One item an optimizer step; a resumed run skips to its step without looking at the items before it."""
        return DataLoader(self.plan, batch_size=1, shuffle=False, collate_fn=lambda items: items[0])  # type: ignore[arg-type]  # any Sequence is a dataset

    def training_step(self, model: Any, inputs: list[PlannedRow], num_items_in_batch: Any = None) -> torch.Tensor:
        """Roll out, score, and accumulate the gradient of one window."""
        with self.clock("rollout"):
            rows = self.roll_out(inputs)
        with self.clock("teacher"):
            self.score(rows)
        model.train()
        batches = split_window(
            rows, pad_id=self.student.pad_id, device=self.args.device, max_rows=self.recipe.micro_batch_size
        )
        whole = [row for row in rows if not row.branch]
        totals = WindowTotals(
            lengths=[len(row.completion.ids) for row in whole],
            finished=sum(row.completion.finished for row in whole),
            on_policy_rows=sum(row.on_policy for row in whole),
        )
        divisor = float(sum(row.num_counted for row in rows))
        if divisor == 0:
            self.hooks.on_gap(self.state.global_step + 1, {"loss": None})
            raise DivergedError(
                "No row of this step holds a completion token, so there is nothing to learn from.",
                hint="Look at the samples: the student ends every answer at once. Resume with a lower learning rate.",
            )
        loss = torch.zeros((), device=self.args.device)
        for index, batch in enumerate(batches):
            last = index == len(batches) - 1
            with self.accelerator.no_sync(model) if not last else nullcontext():
                loss = loss + self.accumulate(batch, divisor, totals)
        if not math.isfinite(loss.item()):
            self.hooks.on_gap(self.state.global_step + 1, {"loss": None})
            raise _diverged("loss", self.state.global_step + 1)
        self._window_metrics = {**self._describe(totals), **self.describe_rows()}
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

    def score(self, rows: Sequence[Row]) -> None:
        """Ask a served teacher about the whole window; nothing where the teacher is read batch by batch."""

    def describe_rows(self) -> Metrics:
        """What there is to say about a window beside the usual; goes before metrics of the same name."""
        return {}

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
            # as the training forward computes under mixed precision
            compute_dtype=torch.bfloat16 if self.args.bf16 else None,
        )

    def accumulate(self, batch: MicroBatch, divisor: float, totals: WindowTotals) -> torch.Tensor:
        """Loss and gradient of one micro-batch; adds its statistics to `totals`. Returns the detached loss."""
        raise TypeError(f"{type(self).__name__} does not say where its gradient comes from")

    def _describe(self, totals: WindowTotals) -> Metrics:
        rows, tokens = len(totals.lengths), totals.tokens
        self._tokens_seen += tokens
        self._window_tokens = tokens
        metrics: Metrics = {"entropy": totals.entropy / tokens, "num_tokens": float(self._tokens_seen)}
        if rows:  # a window may hold corrections only, which are no completions
            metrics |= {
                "completion_tokens/mean": sum(totals.lengths) / rows,
                "completion_tokens/max": float(max(totals.lengths)),
                "truncated_share": 1 - totals.finished / rows,
                "eos_share": totals.finished / rows,
                "on_policy_share": totals.on_policy_rows / rows,
            }
        if totals.teacher_entropy is not None:
            metrics["teacher_entropy"] = totals.teacher_entropy / tokens
        if totals.scored_tokens is not None:
            metrics["scored_share"] = totals.scored_tokens / tokens
        if totals.reverse_kl is not None and totals.on_policy_tokens:
            metrics["reverse_kl"] = totals.reverse_kl / totals.on_policy_tokens
        return metrics

    # --- what leaves the trainer ------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Called by the loop after every optimizer step; hands the step's metrics on instead of collecting them."""
        if "loss" not in logs:
            return  # the loop's closing summary, which the run's summary replaces
        if not math.isfinite(logs.get("grad_norm", 0.0)):
            self.hooks.on_gap(self.state.global_step, {"loss": logs["loss"], "grad_norm": None})
            raise _diverged("gradient", self.state.global_step)
        times = self.clock.take()
        known = sum(v for k, v in times.items() if k != "time/step_s")
        times["time/optimizer_s"] = max(0.0, times["time/step_s"] - known)
        speed = self._window_tokens / times["time/step_s"]
        kept: Metrics = {k: float(logs[k]) for k in ("loss", "grad_norm", "learning_rate") if k in logs}
        self.hooks.on_step(self.state.global_step, {**kept, **self._window_metrics, "tokens_per_s": speed, **times})

    # --- checkpoints -------------------------------------------------------------------------------

    def save_now(self) -> checkpoint.Checkpoint:
        """Write a verified checkpoint of the current step; one that this trainer has written already is kept."""
        assert self.hooks.save_root is not None  # noqa: S101  # callers ask only where a folder was given
        if self._saved is not None and self._saved.step == self.state.global_step:
            return self._saved
        self.hooks.before_save(self.state.global_step)
        begun = time.perf_counter()
        facts = {**self.hooks.save_facts(), "tokens_seen": self._tokens_seen}
        saved = checkpoint.commit(
            self.hooks.save_root,
            self.state.global_step,
            self._write_checkpoint,
            facts,
            keep=self.hooks.save_keep,
            at=self.hooks.at_commit,
        )
        self._saved = saved
        self.hooks.on_saved(saved, time.perf_counter() - begun)
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


class StopAndSave(TrainerCallback):
    """Looks after every step whether to save and whether to stop."""

    def __init__(self, trainer: WindowTrainer):
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

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> TrainerControl:
        """Whoever asks for an end during a save does not wait for another step."""
        control.should_training_stop = control.should_training_stop or self.trainer.hooks.should_stop()
        return control


def window_arguments(plan: WindowPlan, recipe: Recipe, device: torch.device, output_dir: Path) -> dict[str, Any]:
    """Arguments that every host trainer takes: one window an optimizer step, nothing saved or reported by the host."""
    schedules = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}
    return dict(  # noqa: C408  # reads like the call it becomes
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
        save_strategy="no",  # `StopAndSave` decides; the stock rotation knows nothing of manifests
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,  # a NaN must be seen, not replaced by an average
        report_to=[],
        disable_tqdm=True,
        dataloader_num_workers=0,
    )


def _diverged(what: str, step: int) -> DivergedError:
    return DivergedError(
        f"The {what} of step {step} is not a finite number; training stopped there.",
        hint="The last checkpoint before it is kept. Resume with a lower learning rate, or a smaller max_grad_norm.",
        details={"step": step},
    )
