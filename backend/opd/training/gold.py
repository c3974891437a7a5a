"""GoldTrainer: TRL 1.16's GOLDTrainer (experimental upstream) behind the same window as OPDTrainer.

Its own loss is kept; what surrounds it is ours, and with that these defects of 1.16 do not occur here: the loss
divided by the tokens of the *data set's* completions, and by another number under gradient accumulation; a required
`completion` column; sampling at temperature 0.9 and top-p 0.95 by default; one generation a micro-batch; a teacher
with another vocabulary resized in silence (see `models.check_same_tokenizer`). Slower and hungrier than OPDTrainer,
since it holds both models' full logits: kept for comparison and for its users.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from trl.experimental.gold import GOLDConfig, GOLDTrainer

from opd.training.decoding import Completion
from opd.training.models import Student
from opd.training.plan import WindowPlan
from opd.training.window import MicroBatch
from opd.training.window_trainer import (
    Hooks,
    Recipe,
    StopAndSave,
    WindowTotals,
    WindowTrainer,
    window_arguments,
)

_IGNORED = -100


class GoldTrainer(WindowTrainer, GOLDTrainer):
    """One distillation stage through TRL's GOLDTrainer; arguments as `OPDTrainer`, with the teacher and beta."""

    _name = "OPDGold"

    def __init__(
        self,
        student: Student,
        teacher: Any,
        prompt_ids: Sequence[Sequence[int]],
        plan: WindowPlan,
        recipe: Recipe,
        *,
        beta: float,
        answers: Sequence[Completion] | None = None,
        hooks: Hooks | None = None,
        output_dir: Path,
    ):
        self.prepare_window(student, prompt_ids, plan, recipe, answers, hooks)
        self._totals = WindowTotals()
        self._on_policy_BL: Tensor | None = None
        GOLDTrainer.__init__(
            self,
            model=student.model,
            teacher_model=teacher,
            args=GOLDConfig(
                **window_arguments(plan, recipe, student.model.device, output_dir),
                beta=beta,
                lmbda=plan.on_policy_fraction,
                temperature=1.0,
                top_p=1.0,
            ),
            # never read: the window brings its own rows; the constructor wants columns of these names
            train_dataset=Dataset.from_dict({"prompt": ["a"], "completion": ["b"]}),
            processing_class=student.tokenizer,
            callbacks=[StopAndSave(self)],
        )

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset  # upstream would tokenize the placeholder columns

    def accumulate(self, batch: MicroBatch, divisor: float, totals: WindowTotals) -> torch.Tensor:
        """See `WindowTrainer`: GOLD's own compute_loss on our rows, with the window's tokens as its divisor."""
        labels_BL = torch.full_like(batch.input_ids_BL, _IGNORED)
        labels_BL.view(-1)[batch.scored_N + 1] = batch.targets_N
        own_BL = torch.zeros_like(batch.input_ids_BL, dtype=torch.bool)
        own_BL.view(-1)[batch.scored_N] = batch.on_policy_N
        self._totals, self._on_policy_BL = totals, own_BL[:, :-1]
        inputs = {
            "input_ids": batch.input_ids_BL,
            "attention_mask": batch.attention_mask_BL,
            "labels": labels_BL,
        }
        with self.clock("student_teacher_loss"), self.compute_loss_context_manager():
            loss = GOLDTrainer.compute_loss(self, self.model_wrapped, inputs, num_items_in_batch=torch.tensor(divisor))
        with self.clock("backward"):
            self.accelerator.backward(loss)
        totals.tokens += len(batch.targets_N)
        totals.on_policy_tokens += int(batch.on_policy_N.sum())
        return loss.detach()

    def generalized_jsd_loss(self, student_logits: Tensor, teacher_logits: Tensor, **settings: Any) -> Tensor:
        """Upstream's loss (static there); the statistics that every trainer logs are taken from the same logits."""
        with torch.no_grad():
            scored = settings["labels"] != _IGNORED
            log_q = student_logits[scored].float().log_softmax(-1)
            log_p = teacher_logits[scored].float().log_softmax(-1)
            q, p = log_q.exp(), log_p.exp()
            totals = self._totals
            totals.entropy += float(-(q * log_q).sum())
            totals.teacher_entropy = (totals.teacher_entropy or 0.0) - float((p * log_p).sum())
            assert self._on_policy_BL is not None  # noqa: S101  # set by `accumulate`
            own = self._on_policy_BL[scored]
            totals.reverse_kl = (totals.reverse_kl or 0.0) + float((q * (log_q - log_p)).sum(-1)[own].sum())
        loss: Tensor = GOLDTrainer.generalized_jsd_loss(student_logits, teacher_logits, **settings)
        return loss
