"""Both sides' tokenizers in a run: whether they are one, and what the teacher makes of the student's prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from opd.data_loader import PromptRecord
from opd.objectives.alignment import Correspondence, TextCodec
from opd.pipeline.teachers.judging import student_codec
from opd.teachers.base import Ids
from opd.teachers.tokenizer_folder import TokenizerFolder
from opd.training.models import Student, encode_prompts


class Reading:
    """How the teacher reads what the student is asked and writes.

    Args:
        width: of the teacher's outputs; its tokenizer's size where it does not say.
    """

    def __init__(self, student: Student, teacher: TokenizerFolder, width: int = 0):
        self._student, self.teacher = student, teacher
        self.width = max(width, teacher.facts.vocab_size, teacher.num_tokens)

    @cached_property
    def codec(self) -> TextCodec:
        """The teacher's tokens as bytes; a completion is closed as its template closes one."""
        first = [self.teacher.end_of_turn] if self.teacher.end_of_turn is not None else []
        ends = [*first, *(token for token in self.teacher.eos_ids if token not in first)]
        return TextCodec(self.teacher, vocab_size=self.width, eos_ids=ends)

    @cached_property
    def correspondence(self) -> Correspondence:
        """What each side's tokens mean in the other's."""
        return Correspondence(student_codec(self._student), self.codec)

    def prompts(self, records: Sequence[PromptRecord]) -> dict[Ids, Ids]:
        """By the student's ids of a prompt the teacher's: its own template, its own tokens."""
        if not records:
            return {}
        mine = encode_prompts(self._student.tokenizer, records, max_completion_tokens=0, context_length=0)
        return dict(zip(map(tuple, mine), self.encode(records), strict=True))

    def encode(self, records: Sequence[PromptRecord]) -> Iterator[Ids]:
        """Prompts as the teacher reads them."""
        return (tuple(self.teacher.encode(self.teacher.render(list(record.messages)))) for record in records)
