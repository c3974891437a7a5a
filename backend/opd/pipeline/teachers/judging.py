"""What teachers with a `View` share: the scorer of held-out text, and texts as the student would write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from opd.evaluation.scoring import TokenFacts
from opd.objectives.alignment import TextCodec
from opd.training.decoding import Completion
from opd.training.models import Student
from opd.training.views import View, judge_rows
from opd.training.window import Row


@dataclass(frozen=True)
class ViewScorer:
    """See `opd.evaluation.scoring.Scorer`: as far as the view tells its laws."""

    view: View
    digest: str

    def score(self, student: Any, rows: Sequence[Row], *, pad_id: int) -> list[TokenFacts]:
        """See `Scorer`."""
        judged = judge_rows(student, self.view, rows, pad_id=pad_id)
        return [
            TokenFacts(row.reverse_kl_T, row.entropy_T, row.student_logprob_T, row.teacher_logprob_T) for row in judged
        ]


def student_codec(student: Student) -> TextCodec:
    """The student's tokens as bytes.

    Raises:
        ModelMismatchError: a tokenizer that cannot be read as bytes.
    """
    width = int(student.model.get_output_embeddings().weight.shape[0])
    return TextCodec(student.tokenizer, vocab_size=width, eos_ids=student.eos_ids)


def as_completion(codec: TextCodec, text: bytes, *, ended: bool, most: int) -> Completion:
    """A text as the student would have to write it; cut to `most` tokens.

    Text that the student's vocabulary cannot write is an answer without tokens, which no stage learns from.
    """
    ids = codec.encode(text, at_start=True)
    if ids is None:
        return Completion((), False)
    whole = (*ids, codec.eos_ids[0]) if ended else ids
    return Completion(whole[:most], ended and len(whole) <= most)
