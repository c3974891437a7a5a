"""OPDTrainer: TRL's DistillationTrainer with our own path from prompt to gradient.

In: a `Student`, a `Signal`, prompts as ids, a `WindowPlan`. Out: a trained student, and `on_step` with the metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from datasets import Dataset
from trl import DistillationConfig, DistillationTrainer

from opd.objectives.divergence import head_of
from opd.training.decoding import Completion
from opd.training.lean_forward import reader_of
from opd.training.models import Student, causal_lm_of
from opd.training.plan import PlannedRow, WindowPlan
from opd.training.signals import Signal
from opd.training.sources import RowSource, logprobs_of
from opd.training.window import MicroBatch, Row
from opd.training.window_trainer import (
    Hooks,
    Metrics,
    Recipe,
    StopAndSave,
    WindowTotals,
    WindowTrainer,
    window_arguments,
)


class OPDTrainer(WindowTrainer, DistillationTrainer):
    """One training stage of one student.

    Args:
        student: the model that learns, its tokenizer and end tokens.
        signal: where the gradient comes from.
        prompt_ids: training prompts through the chat template.
        plan: rows of every step.
        recipe: learning rate and the like.
        answers: the teacher's cached answer to each prompt; needed where the plan has rows that are not on-policy and
            no source makes them.
        hooks: what happens around a step.
        source: makes the rows of a window instead of the plan's rollouts and answers.
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
        source: RowSource | None = None,
        output_dir: Path,
    ):
        self.signal, self.source, self._read = signal, source, reader_of(student.model)
        self.prepare_window(student, prompt_ids, plan, recipe, answers, hooks, has_source=source is not None)
        DistillationTrainer.__init__(
            self,
            model=student.model,
            args=DistillationConfig(**window_arguments(plan, recipe, student.model.device, output_dir)),
            train_dataset=Dataset.from_dict({"prompt": [""] * len(prompt_ids)}),
            processing_class=student.tokenizer,
            callbacks=[StopAndSave(self)],
        )

    def roll_out(self, planned: Sequence[PlannedRow]) -> list[Row]:
        """See `WindowTrainer`."""
        if self.source is None:
            return super().roll_out(planned)
        return self.source.rows(int(self.state.global_step), planned, self)

    def describe_rows(self) -> Metrics:
        """See `WindowTrainer`."""
        return self.source.metrics() if self.source is not None else {}

    def score(self, rows: Sequence[Row]) -> None:
        """See `WindowTrainer`."""
        self.signal.score(rows)

    @torch.no_grad()
    def logprobs(self, rows: Sequence[Row]) -> list[torch.Tensor]:
        """See `opd.training.sources.Desk`."""
        model = self.accelerator.unwrap_model(self.model_wrapped)
        with self.compute_loss_context_manager():
            return logprobs_of(model, rows, pad_id=self.student.pad_id, max_rows=self.recipe.micro_batch_size)

    def accumulate(self, batch: MicroBatch, divisor: float, totals: WindowTotals) -> torch.Tensor:
        """See `WindowTrainer`."""
        model = self.accelerator.unwrap_model(self.model_wrapped)
        with self.compute_loss_context_manager():
            with self.clock("student"):
                hidden = self._read(batch)
            part = self.signal.loss(batch, hidden, head_of(causal_lm_of(model)), divisor, self.clock)
        with self.clock("backward"):
            self.accelerator.backward(part.loss)
        totals.tokens += len(batch.targets_N)
        totals.on_policy_tokens += int(batch.on_policy_N.sum())
        totals.entropy += float(part.entropy_N.sum())
        if part.teacher_entropy_N is not None:
            totals.teacher_entropy = (totals.teacher_entropy or 0.0) + float(part.teacher_entropy_N.sum())
        if part.scored_N is not None:
            totals.scored_tokens = (totals.scored_tokens or 0) + int(part.scored_N.sum())
        if part.reverse_kl_N is not None:
            own = part.reverse_kl_N[batch.on_policy_N]
            totals.reverse_kl = (totals.reverse_kl or 0.0) + float(own.sum())
        return part.loss.detach()
