"""Held-out results of each model in a run: the student before and after, the baseline, the teacher itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch

from opd.data_loader import PromptRecord
from opd.evaluation.measure import Generate, Settings, Subject, evaluate_model, weights_digest
from opd.evaluation.results import Evaluation
from opd.evaluation.summary import per_prompt, summarize
from opd.pipeline.regression import GeneralAnswers
from opd.pipeline.workbench import Workbench
from opd.training import checkpoint
from opd.training.decoding import Completion, generate
from opd.training.models import Student
from opd.training.sources import logprobs_of
from opd.training.window import Row

SCORED_PROMPTS = 100  # temperature-1 samples behind the reverse KL; its interval is narrow long before that
_CHUNK = 128

SubjectName = Literal["before", "sft", "after", "teacher"]
Phase = Literal["evaluating_before", "evaluating_after"]


class Measurements:
    """What has been measured in this run so far; each model once, however often the run resumes."""

    def __init__(self, bench: Workbench):
        self._bench, self.scorer = bench, bench.teacher.scorer()
        self._general = GeneralAnswers(bench)
        self.evaluations: dict[SubjectName, Evaluation] = {}
        self.checkpoints: dict[int, Evaluation] = {}

    def of_model(self, name: SubjectName, model: Any, phase: Phase, *, announce: bool = True) -> None:
        """Measure a student; `announce` writes the result as an event."""
        student = self._bench.student
        subject = Subject(name, model, weights_digest(model), student.eos_ids, student.pad_id)
        self._measure(name, subject, generate, phase, scored=SCORED_PROMPTS, announce=announce)

    def of_checkpoints(self) -> None:
        """Measure the newest earlier checkpoints, where answers are graded: the last step need not be the best."""
        bench, after = self._bench, self.evaluations.get("after")
        if after is None or all(answer.correct is None for answer in after.answers):
            return
        found = checkpoint.verified_before(
            bench.folder.checkpoints_path, bench.config.max_steps, config_digest=bench.config.digest()
        )
        for saved in found[: bench.config.evaluation.checkpoints]:
            student = bench.fresh_student()
            checkpoint.load_learned(student.model, saved.path)
            subject = Subject(saved.path.name, student.model, saved.manifest["digest"], student.eos_ids, student.pad_id)
            words = f"checkpoint of step {saved.step:,}"
            self.checkpoints[saved.step] = self._evaluate(subject, generate, "evaluating_after", words, scored=0)

    @property
    def remarks(self) -> list[str]:
        """What is to be said of the measurement beside its figures."""
        return self._general.remarks

    def of_teacher(self) -> None:
        """Measure the teacher's own answers, unless that costs money."""
        if not getattr(self._bench.teacher, "is_free", True):
            return
        student, teacher = self._bench.student, self._bench.teacher
        subject = Subject("teacher", None, teacher.digest, student.eos_ids, student.pad_id)
        self._measure("teacher", subject, self._teacher_writes, "evaluating_after", scored=0, announce=True)

    @property
    def can_judge(self) -> bool:
        """Whether an answer can be judged without a reference: by the task's own check or by the teacher's scores."""
        return self._bench.config.data.answer_match != "none" or self.scorer is not None

    def validate(
        self, student: Student, records: Sequence[PromptRecord], references: Sequence[Completion] = ()
    ) -> float:
        """Higher is better: exact match where answers can be checked, else minus the divergence from the teacher, nats.

        The divergence is the reverse KL; of a teacher that only answers, the negative log-likelihood of its answers.

        Args:
            references: the teacher's answers to the records, for a teacher that only answers.
        """
        config, ids = self._bench.config, self._bench.encode(records)
        checkable = config.data.answer_match != "none" and any(record.answer is not None for record in records)
        if not checkable and self.scorer is None:
            return -_mean_nll(student, ids, references)
        evaluation = evaluate_model(
            Subject("validation", student.model, "", student.eos_ids, student.pad_id),
            records,
            ids,
            data=config.data,
            settings=self.settings(0 if checkable else None),
            decode=self._bench.decode,
            scorer=None if checkable else self.scorer,
        )
        return per_prompt(evaluation, "exact_match").mean if checkable else -per_prompt(evaluation, "reverse_kl").mean

    def _measure(
        self, name: SubjectName, subject: Subject, complete: Generate, phase: Phase, *, scored: int, announce: bool
    ) -> None:
        bench = self._bench
        if not (bench.config.evaluation.enabled and bench.prompts.test):
            return
        evaluation = self._evaluate(subject, complete, phase, name, scored=scored)
        if name != "teacher":
            evaluation = replace(evaluation, references=self._general.of_model(name, subject.model))
        self.evaluations[name] = evaluation
        if announce and name not in bench.folder.summary().evaluations:
            bench.reporter.emit(summarize(name, evaluation, seed=bench.config.seed))

    def _evaluate(self, subject: Subject, complete: Generate, phase: Phase, detail: str, *, scored: int) -> Evaluation:
        bench, records = self._bench, self._bench.prompts.test
        bench.reporter.phase(phase, total=len(records), unit="prompts", detail=detail)
        return evaluate_model(
            subject,
            records,
            bench.test_ids,
            data=bench.config.data,
            settings=self.settings(scored),
            decode=bench.decode,
            scorer=self.scorer if scored else None,
            run_path=bench.folder.path,
            complete=complete,
            progress=bench.reporter.progress,
        )

    def settings(self, num_scored_prompts: int | None) -> Settings:
        """How every model of the run is measured, with samples scored for so many prompts (None: all)."""
        config = self._bench.config
        return Settings(
            max_completion_tokens=config.sampling.max_completion_tokens,
            num_scored_prompts=num_scored_prompts,
            seed=config.seed,
            chunk_size=_CHUNK,
        )

    def _teacher_writes(
        self, model: None, prompts: Sequence[Sequence[int]], *, temperature: float = 1.0, **asked: Any
    ) -> list[Completion]:
        """The teacher reads prompts in its own way, so ids become records again."""
        by_ids = {
            tuple(ids): record for ids, record in zip(self._bench.test_ids, self._bench.prompts.test, strict=True)
        }
        return self._bench.teacher.write(
            [by_ids[tuple(ids)] for ids in prompts],
            seeds=asked["seeds"],
            max_new_tokens=asked["max_new_tokens"],
            temperature=temperature,
        )


def _mean_nll(student: Student, prompt_ids: Sequence[Sequence[int]], references: Sequence[Completion]) -> float:
    rows = [Row(tuple(ids), text, on_policy=False) for ids, text in zip(prompt_ids, references, strict=True)]
    found = torch.cat(logprobs_of(student.model, rows, pad_id=student.pad_id))
    return -float(found.mean())
