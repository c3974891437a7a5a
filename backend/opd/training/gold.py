"""GoldTrainer: TRL 1.16's GOLDTrainer (experimental upstream) behind the same window as OPDTrainer.

Its own losses are kept; what surrounds them is ours. With that these defects of 1.16 do not occur here (each is shown
on the stock trainer in backend/tests/training/test_gold_defects.py): the loss divided by the tokens of the *data set's*
completions, and by another number under gradient accumulation (huggingface/trl#4719); a required `completion` column;
`seq_kd` that does nothing (PR #5725); sampling at temperature 0.9 and top-p 0.95 by default; one generation a
micro-batch; a teacher with another vocabulary resized in silence; and, between two tokenizers, what `gold_across` tells
(#4392, #4393, #5152). Slower and hungrier than OPDTrainer, since it holds both models' full logits: kept for
comparison and for its users.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from trl.experimental.gold import GOLDConfig, GOLDTrainer

from opd.training.decoding import Completion
from opd.training.gold_across import (
    ACROSS_SETTINGS,
    IGNORED,
    AcrossLoss,
    LaidOut,
    TeacherSide,
    lay_out,
    padded,
    rows_of,
)
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


class GoldTrainer(WindowTrainer, GOLDTrainer):
    """One distillation stage through TRL's GOLDTrainer; arguments as `OPDTrainer`, and:

    Args:
        teacher: the model itself.
        across: the teacher's own tokenizer and prompts; None where it has the student's.
    """

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
        across: TeacherSide | None = None,
        answers: Sequence[Completion] | None = None,
        hooks: Hooks | None = None,
        output_dir: Path,
    ):
        self.prepare_window(student, prompt_ids, plan, recipe, answers, hooks)
        self._totals = WindowTotals()
        self._on_policy_BL: Tensor | None = None
        with _kept_as_it_is(teacher):
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
                    **ACROSS_SETTINGS,
                ),
                # never read: the window brings its own rows; the constructor wants columns of these names
                train_dataset=Dataset.from_dict({"prompt": ["a"], "completion": ["b"]}),
                processing_class=student.tokenizer,
                callbacks=[StopAndSave(self)],
            )
        self._across = across
        self._across_loss = None if across is None else AcrossLoss(across, self.args, student.model.device)

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset  # upstream would tokenize the placeholder columns

    def accumulate(self, batch: MicroBatch, divisor: float, totals: WindowTotals) -> torch.Tensor:
        """See `WindowTrainer`: GOLD's own loss on our rows, with the window's tokens as its divisor."""
        with self.clock("student_teacher_loss"), self.compute_loss_context_manager():
            if self._across is None:
                loss = self._same_tokenizer(batch, divisor, totals)
            else:
                loss = self._two_tokenizers(batch, divisor, totals, self._across)
        with self.clock("backward"):
            self.accelerator.backward(loss)
        totals.tokens += len(batch.targets_N)
        totals.on_policy_tokens += int(batch.on_policy_N.sum())
        return loss.detach()

    def _same_tokenizer(self, batch: MicroBatch, divisor: float, totals: WindowTotals) -> Tensor:
        labels_BL = torch.full_like(batch.input_ids_BL, IGNORED)
        labels_BL.view(-1)[batch.scored_N + 1] = batch.targets_N
        own_BL = torch.zeros_like(batch.input_ids_BL, dtype=torch.bool)
        own_BL.view(-1)[batch.scored_N] = batch.on_policy_N
        self._totals, self._on_policy_BL = totals, own_BL[:, :-1]
        inputs = {
            "input_ids": batch.input_ids_BL,
            "attention_mask": batch.attention_mask_BL,
            "labels": labels_BL,
        }
        loss: Tensor = GOLDTrainer.compute_loss(
            self, self.model_wrapped, inputs, num_items_in_batch=torch.tensor(divisor)
        )
        return loss

    def _two_tokenizers(self, batch: MicroBatch, divisor: float, totals: WindowTotals, side: TeacherSide) -> Tensor:
        """Upstream's `compute_loss` builds the teacher's inputs from the student's text; ours come from `lay_out`."""
        assert self._across_loss is not None  # noqa: S101  # comes with `across`
        logits_BLV = self.model_wrapped(input_ids=batch.input_ids_BL, use_cache=False).logits
        laid_out = [lay_out(side, prompt, answer) for prompt, answer in rows_of(batch)]
        pairs: list[tuple[int, LaidOut, LaidOut]] = [(i, *pair) for i, pair in enumerate(laid_out) if pair is not None]
        loss = logits_BLV.sum() * 0.0  # where no row can be laid out there is still a gradient, of zero
        teacher_BLW = self._read([theirs for _, _, theirs in pairs], side) if pairs else loss
        for place, (row, mine, theirs) in enumerate(pairs):
            part, num_tokens = self._across_loss.summed(
                logits_BLV[row, : len(mine.ids)], mine, teacher_BLW[place, : len(theirs.ids)], theirs
            )
            loss = loss + part / divisor
            totals.scored_tokens = (totals.scored_tokens or 0) + num_tokens
        with torch.no_grad():
            log_q = logits_BLV.reshape(-1, logits_BLV.shape[-1])[batch.scored_N].float().log_softmax(-1)
            totals.entropy += float(-(log_q.exp() * log_q).sum())
        return loss

    @torch.no_grad()
    def _read(self, rows: Sequence[LaidOut], side: TeacherSide) -> Tensor:
        """The teacher's logits, (rows, L, W)."""
        ids_BL = padded(rows, side.teacher.eos_ids[0], self.args.device)
        logits: Tensor = self.teacher_model(input_ids=ids_BL, use_cache=False).logits
        return logits

    def generalized_jsd_loss(self, student_logits: Tensor, teacher_logits: Tensor, **settings: Any) -> Tensor:
        """Upstream's loss (static there); the statistics that every trainer logs are taken from the same logits."""
        # vocabularies may be padded to different round sizes (151,936 and 152,064, say): the rows that both have
        size = min(student_logits.shape[-1], teacher_logits.shape[-1])
        student_logits, teacher_logits = student_logits[..., :size], teacher_logits[..., :size]
        with torch.no_grad():
            scored = settings["labels"] != IGNORED
            log_q = student_logits[scored].float().log_softmax(-1)
            log_p = teacher_logits[scored].float().log_softmax(-1)
            q, p = log_q.exp(), log_p.exp()
            totals = self._totals
            totals.entropy += float(-(q * log_q).sum())
            totals.teacher_entropy = (totals.teacher_entropy or 0.0) - float((p * log_p).sum())
            assert self._on_policy_BL is not None  # noqa: S101  # set by `_same_tokenizer`
            own = self._on_policy_BL[scored]
            totals.reverse_kl = (totals.reverse_kl or 0.0) + float((q * (log_q - log_p)).sum(-1)[own].sum())
        loss: Tensor = GOLDTrainer.generalized_jsd_loss(student_logits, teacher_logits, **settings)
        return loss


@contextmanager
def _kept_as_it_is(teacher: Any) -> Iterator[None]:
    """Upstream's constructor resizes the teacher's embeddings to the student's width, whatever its tokens mean."""
    teacher.resize_token_embeddings = lambda *_, **__: None
    try:
        yield
    finally:
        del teacher.resize_token_embeddings
