"""GOLD between two tokenizers: TRL 1.16's `ULDLoss` on inputs that are right, with a divisor that is right.

In: a micro-batch of the student's tokens and its logits. Out: what the teacher reads for the same text, and the sum of
the loss over aligned groups. The loss itself stays upstream's (hybrid: generalized JSD on tokens that both vocabularies
have, L1 on sorted probabilities for the rest); repaired is what goes in and what it is divided by. Defects of 1.16,
each with a test that shows it on the stock trainer (backend/tests/training/test_gold_defects.py):

- The teacher was fed the student's chat template as text: it reads its own rendering of the prompt here.
- The end of the answer was written out as text, then appended once more, and not scored: it is one token here, laid
  beside the teacher's by its role whatever it is called, and scored.
- The default merge ("observed") read logits one position late (huggingface/trl#5152; "bayesian", PR #5905, is right).
- The loss was averaged within rows and micro-batches, so that accumulation over n parts gave n times the gradient
  (huggingface/trl#4719 for the other loss): it is a sum here, and divided once by the window's completion tokens.
- Only byte-level vocabularies were understood; tokens are matched by their bytes here.

What cannot be repaired without being another method: where the tokenizers divide a number differently, the teacher's
mass lies on a token that the student does not have, and on those that both have, single digits among them, it is left
with nearly nothing. So each digit of the student's counts as too likely, right or wrong, and numbers are unlearnt; the
sorted comparison of the rest cannot tell one from another. A loss that scores every token does this more thoroughly.
Hence the alarm in `opd.pipeline.distillation`, and `opd.objectives.alignment` as the recommended method.

Legend: B rows, L padded length, V student's and W teacher's vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from trl.experimental.gold import GOLDConfig
from trl.experimental.gold.gold_trainer import ULDLoss

from opd.objectives.alignment import TextCodec
from opd.training.window import MicroBatch

IGNORED = -100
Span = tuple[int, int]


@dataclass(frozen=True)
class TeacherSide:
    """A teacher with a tokenizer of its own.

    Attributes:
        prompts: the student's rendering of each training prompt → the teacher's own.
    """

    student: TextCodec
    teacher: TextCodec
    prompts: dict[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class LaidOut:
    """One row for both models: ids, where the answer's tokens begin, and the bytes that each of them covers."""

    ids: list[int]
    start: int
    spans: list[Span]

    def labels(self) -> list[int]:
        """The answer's ids at their places, `IGNORED` elsewhere."""
        return [IGNORED] * self.start + self.ids[self.start : self.start + len(self.spans)]


def lay_out(side: TeacherSide, prompt: Sequence[int], answer: Sequence[int]) -> tuple[LaidOut, LaidOut] | None:
    """The same text in the student's tokens and in the teacher's.

    What follows a special token inside the text is left out: it stands for no bytes.

    Returns:
        Student's and teacher's row; None where the teacher's vocabulary cannot write the text.
    """
    words: list[bytes] = []
    for place, token in enumerate(answer):
        word = side.student.table(at_start=True)[token] if place == 0 else side.student.bytes_of[token]
        if word is None:
            break
        words.append(word)
    ended = len(words) < len(answer) and answer[len(words)] in side.student.eos_ids
    text = b"".join(words)
    theirs = side.teacher.encode(text, at_start=True) if text else ()
    if theirs is None or not (words or ended):
        return None
    their_words = [
        (side.teacher.table(at_start=True) if place == 0 else side.teacher.bytes_of)[token] or b""
        for place, token in enumerate(theirs)
    ]
    end: list[Span] = [(len(text), len(text))] if ended else []
    mine = LaidOut([*prompt, *answer], len(prompt), _spans(words) + end)
    rendered = side.prompts[tuple(prompt)]
    closing = [side.teacher.eos_ids[0]] if ended else []
    return mine, LaidOut([*rendered, *theirs, *closing], len(rendered), _spans(their_words) + end)


def _spans(words: Sequence[bytes]) -> list[Span]:
    ends = list(accumulate(len(word) for word in words))
    return list(zip([0, *ends[:-1]], ends, strict=True)) if ends else []


ACROSS_SETTINGS = {
    "uld_use_hybrid_loss": True,
    "uld_token_merge_strategy": "bayesian",
    "uld_skip_student_eos": False,
    "uld_skip_teacher_eos": False,
}
"""Of `GOLDConfig`, where two tokenizers meet."""


class AcrossLoss(ULDLoss):
    """Upstream's loss of one row, as a sum over its aligned groups."""

    def __init__(self, side: TeacherSide, settings: GOLDConfig, device: torch.device):
        self._side = side
        super().__init__(settings, student_tokenizer=side.student, teacher_tokenizer=side.teacher, device=device)

    def _initialize_vocabulary_mapping(self) -> None:
        """Teacher ids to student ids: by their bytes, one to one, and the ends of an answer by their role."""
        student, teacher = self._side.student, self._side.teacher
        pairs = {teacher.eos_ids[0]: student.eos_ids[0]}
        taken: set[int] = set()
        for token, word in enumerate(teacher.bytes_of):
            found = student.exactly(word) if word else []
            if found and found[0] not in taken:
                pairs[token] = found[0]
                taken.add(found[0])
        self._vocab_mapping = pairs
        self._teacher_matched_ids, self._student_matched_ids = set(pairs), set(pairs.values())
        self.mapping_tensor = torch.full((max(pairs) + 1,), -1, dtype=torch.long, device=self.device)
        self.mapping_tensor[torch.tensor(list(pairs))] = torch.tensor(list(pairs.values()), device=self.device)

    def summed(self, logits_LV: Tensor, mine: LaidOut, teacher_LW: Tensor, theirs: LaidOut) -> tuple[Tensor, int]:
        """Sum over groups, and how many student tokens are in one.

        Args:
            logits_LV: the student's logits of this row; what is padded on the right is not looked at.
            teacher_LW: the teacher's.
        """
        groups, others = self._align_by_byte_offsets(mine.spans, theirs.spans)
        paired = [group for group, other in zip(groups, others, strict=True) if group and other]
        mean: Tensor = self(
            logits_LV.unsqueeze(0).float(),
            teacher_LW.unsqueeze(0).float(),
            *(self._row(row.labels(), len(row.ids)) for row in (mine, theirs)),
            *(self._row(row.ids, len(row.ids)) for row in (mine, theirs)),
            *(self._offsets(row) for row in (mine, theirs)),
        )
        return mean * len(paired), sum(len(group) for group in paired)

    def _row(self, values: Sequence[int], width: int) -> Tensor:
        return torch.tensor([[*values, *[IGNORED] * (width - len(values))]], device=self.device)

    def _offsets(self, row: LaidOut) -> Tensor:
        after = len(row.ids) - row.start - len(row.spans)
        return torch.tensor([[*[(0, 0)] * row.start, *row.spans, *[(0, 0)] * after]], device=self.device)


def rows_of(batch: MicroBatch) -> list[tuple[list[int], list[int]]]:
    """Prompt and answer of each row of a micro-batch."""
    width = batch.input_ids_BL.shape[1]
    scored = torch.zeros(batch.input_ids_BL.numel() + 1, dtype=torch.bool, device=batch.input_ids_BL.device)
    scored[batch.scored_N + 1] = True
    ids = batch.input_ids_BL.tolist()
    found = []
    for row, marks in zip(ids, scored[:-1].reshape(-1, width).tolist(), strict=True):
        start = marks.index(True)
        found.append((row[:start], row[start : start + sum(marks)]))
    return found


def padded(rows: Sequence[LaidOut], pad_id: int, device: torch.device) -> Tensor:
    """Ids of several rows, padded on the right: under a causal mask nothing sees the padding."""
    width = max(len(row.ids) for row in rows)
    return torch.tensor([row.ids + [pad_id] * (width - len(row.ids)) for row in rows], device=device)
