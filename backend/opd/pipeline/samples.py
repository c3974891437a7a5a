"""Live samples: what the student answers to a few fixed held-out prompts while it learns, next to the teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from opd.evaluation.answers import grade
from opd.evaluation.scoring import token_scores
from opd.events import SampleRecorded
from opd.pipeline.workbench import Workbench
from opd.training.decoding import Completion, generate
from opd.training.window import Row


class SampleRecorder:
    """Asks the probe prompts, greedily, and records answers with both models' view of every token."""

    def __init__(self, bench: Workbench):
        num = bench.config.evaluation.probe_prompts
        self._bench, self._scorer = bench, bench.teacher.scorer()
        self._records, self._prompt_ids = bench.prompts.test[:num], bench.test_ids[:num]

    def of_student(self, step: int) -> list[SampleRecorded]:
        """The student's answer to every probe prompt, recorded and returned."""
        if not self._records:
            return []
        student = self._bench.student
        answers = generate(
            student.model,
            self._prompt_ids,
            seeds=[0] * len(self._records),
            max_new_tokens=self._bench.config.sampling.max_completion_tokens,
            eos_ids=student.eos_ids,
            pad_id=student.pad_id,
            temperature=0,
        )
        return self._record(step, "student", answers)

    def of_teacher(self) -> list[SampleRecorded]:
        """The teacher's, once."""
        if not self._records:
            return []
        answers = self._bench.teacher.write(
            self._records,
            seeds=[0] * len(self._records),
            max_new_tokens=self._bench.config.sampling.max_completion_tokens,
            temperature=0,
        )
        return self._record(0, "teacher", answers)

    def _record(
        self, step: int, author: Literal["student", "teacher"], answers: Sequence[Completion]
    ) -> list[SampleRecorded]:
        bench, student = self._bench, self._bench.student
        events = []
        for record, ids, answer in zip(self._records, self._prompt_ids, answers, strict=True):
            row = Row(tuple(ids), answer, on_policy=True)
            text = bench.decode(answer.ids)
            scores = (
                token_scores(student.model, self._scorer, row, pad_id=student.pad_id, decode=bench.decode)
                if self._scorer is not None
                else []
            )
            events.append(
                SampleRecorded(
                    step=step,
                    author=author,
                    prompt_id=record.id,
                    prompt=str(record.messages[-1]["content"]),
                    text=text,
                    expected=record.answer,
                    correct=grade(bench.config.data, text, record.answer),
                    tokens=scores,
                )
            )
        bench.reporter.emit(*events)
        return events
