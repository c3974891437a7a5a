"""What a student could do outside the task: how likely it finds good answers to questions that no training touched.

In: a student. Out: `ScoredReference`s, kept in `stages/`. The questions are the run's own, or the sixteen that come
with the product. One forward pass; nothing is written or judged, so it costs nothing and holds for any student that
knows some language. One that knows none has nothing to lose, and is told so instead of measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from opd.data_loader import PromptRecord, load_prompts
from opd.errors import DataError, ModelMismatchError
from opd.evaluation import wording
from opd.evaluation.results import ScoredReference
from opd.pipeline.workbench import Workbench
from opd.training.decoding import Completion
from opd.training.models import encode_prompts
from opd.training.sources import logprobs_of
from opd.training.window import Row

BUNDLED = Path(str(files("opd.evaluation"))) / "prompts" / "general.v1.jsonl"
# Letters drawn by how often each follows the one before take about 2.3 nats; a model of 0.5 B takes about 0.7.
_KNOWS_LANGUAGE = 2.0  # nats per byte
_LEAST_PROMPTS = 8  # fewer can never give the significance that a verdict asks for


class GeneralAnswers:
    """The regression set of a run."""

    def __init__(self, bench: Workbench):
        self._bench = bench
        self.remarks: list[str] = []

    def of_model(self, name: str, model: Any) -> tuple[ScoredReference, ...]:
        """This model's view of the answers; nothing where there is nothing to lose. Before is measured first.

        Raises:
            DataError: the run's own set cannot be read or has too few answers.
        """
        if not self._bench.config.evaluation.regression:
            return ()
        found = self._kept(name, model)
        before = found if name == "before" else self._kept("before", model)
        num_bytes = sum(one.num_bytes for one in before)
        if not num_bytes:
            return ()
        per_byte = sum(one.sum_nll for one in before) / num_bytes
        if per_byte <= _KNOWS_LANGUAGE:
            return found
        self.remarks = [wording.nothing_to_lose(per_byte)]
        return ()

    def _kept(self, name: str, model: Any) -> tuple[ScoredReference, ...]:
        results = self._bench.results
        kept = results.once(f"general_{name}", lambda: [asdict(one) for one in self._score(model)])
        return tuple(ScoredReference(**one) for one in kept)

    def _score(self, model: Any) -> list[ScoredReference]:
        student = self._bench.student
        records, rows = self._rows()
        logprobs = logprobs_of(model, rows, pad_id=student.pad_id) if rows else []
        return [
            ScoredReference(record.id, len(found), len((record.answer or "").encode()), -float(found.double().sum()))
            for record, found in zip(records, logprobs, strict=True)
        ]

    def _rows(self) -> tuple[Sequence[PromptRecord], list[Row]]:
        student, records, rows = self._bench.student, [], []
        for record in self._questions():
            ids = student.tokenizer.encode(record.answer, add_special_tokens=False)
            try:
                (prompt,) = encode_prompts(
                    student.tokenizer,
                    [record],
                    max_completion_tokens=len(ids) + 1,
                    context_length=student.facts.context_length,
                )
            except ModelMismatchError:  # longer than this student reads
                continue
            records.append(record)
            rows.append(Row(tuple(prompt), Completion((*ids, student.eos_ids[0]), True), on_policy=False))
        return records, rows

    def _questions(self) -> list[PromptRecord]:
        path = self._bench.config.evaluation.regression_path
        records = [record for record in load_prompts(path or BUNDLED) if record.answer]
        if len(records) < _LEAST_PROMPTS:
            raise DataError(
                f"{path} has {len(records)} prompts with an answer, expected at least {_LEAST_PROMPTS}.",
                hint="Add an assistant message to each prompt, or leave evaluation.regression_path out.",
            )
        return records
