"""Live samples: what the student answers to a few fixed held-out prompts while it learns, next to the teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from opd.config import RunConfig
from opd.data_loader import PromptRecord
from opd.evaluation.answers import grade
from opd.evaluation.scoring import token_scores
from opd.events import SampleRecorded
from opd.pipeline.beside import LineReporter
from opd.pipeline.reporter import Reporter
from opd.training.decoding import generate
from opd.training.models import Student
from opd.training.window import Row


class SampleRecorder:
    """Asks the probe prompts, greedily, and records answers with both models' view of every token."""

    def __init__(
        self,
        reporter: Reporter | LineReporter,
        student: Student,
        teacher: Any,
        records: Sequence[PromptRecord],
        prompt_ids: Sequence[Sequence[int]],
        config: RunConfig,
        decode: Callable[[Sequence[int]], str],
    ):
        num = config.evaluation.probe_prompts
        self._reporter, self._student, self._teacher, self._decode = reporter, student, teacher, decode
        self._records, self._prompt_ids, self._config = list(records[:num]), list(prompt_ids[:num]), config

    def record(self, step: int, model: Any, author: Literal["student", "teacher", "baseline"]) -> list[SampleRecorded]:
        """One answer of `model` to every probe prompt, recorded and returned."""
        if not self._records:
            return []
        answers = generate(
            model,
            self._prompt_ids,
            seeds=[0] * len(self._records),
            max_new_tokens=self._config.sampling.max_completion_tokens,
            eos_ids=self._student.eos_ids,
            pad_id=self._student.pad_id,
            temperature=0,
        )
        events = []
        for record, ids, answer in zip(self._records, self._prompt_ids, answers, strict=True):
            row = Row(tuple(ids), answer, on_policy=True)
            text = self._decode(answer.ids)
            events.append(
                SampleRecorded(
                    step=step,
                    author=author,
                    prompt_id=record.id,
                    prompt=str(record.messages[-1]["content"]),
                    text=text,
                    expected=record.answer,
                    correct=grade(self._config.data, text, record.answer),
                    tokens=token_scores(
                        self._student.model, self._teacher, row, pad_id=self._student.pad_id, decode=self._decode
                    ),
                )
            )
        self._reporter.emit(*events)
        return events
