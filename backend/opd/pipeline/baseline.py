"""The imitation baseline: as many steps of plain imitation, at the best of its learning rates. What has to be beaten.

In: a `Workbench`. Out: kept weights in `baseline/`, and which learning rate won. Trained in a child process during
distillation where the machine has a core for it, else afterwards.
"""

from __future__ import annotations

from typing import Any

import torch

from opd.pipeline import beside
from opd.pipeline.beside import Beside
from opd.pipeline.imitation import imitate, teacher_answers
from opd.pipeline.measuring import Measurements
from opd.pipeline.reporter import Reporter
from opd.pipeline.workbench import Workbench
from opd.training import checkpoint
from opd.training.decoding import Completion


class Baseline:
    """The baseline of one run."""

    def __init__(self, bench: Workbench, measurements: Measurements):
        self._bench, self._measurements = bench, measurements
        self._kept = bench.folder.path / "baseline"

    def start_beside(self) -> Beside | None:
        """Let a child train it during distillation, where there is a core for it."""
        bench, reporter = self._bench, self._bench.reporter
        size = bench.student.facts.num_parameters + bench.teacher.num_local_parameters
        spare = beside.worthwhile(
            on_cpu=bench.device.type == "cpu", threads=torch.get_num_threads(), num_parameters=size
        )
        if spare and bench.results.get("baseline") is None and isinstance(reporter, Reporter):
            return Beside(bench.folder, reporter)
        return None

    def finish(self, child: Beside | None) -> None:
        """See it to its end and measure it."""
        steps = self._num_steps()
        self._bench.reporter.phase("baseline", total=steps, unit="steps", detail="choosing the learning rate")
        if child is not None:
            child.finish(steps)
        self.train()
        self._measurements.of_model("sft", self.model(), "evaluating_after")

    def train(self) -> None:
        """Train the candidates and keep the best, unless that is done."""
        results = self._bench.results
        if results.get("baseline") is None:
            results.put("baseline", self._tune(teacher_answers(self._bench)))

    def model(self) -> Any:
        """The kept baseline."""
        student = self._bench.fresh_student()
        checkpoint.load_learned(student.model, self._kept)
        return student.model

    def _num_steps(self) -> int:
        config = self._bench.config
        return config.max_steps * (len(config.baseline.learning_rates) + (not self._bench.prompts.validation))

    def _tune(self, answers: list[Completion]) -> dict[str, Any]:
        bench, rates = self._bench, self._bench.config.baseline.learning_rates
        steps, train = bench.config.max_steps, bench.prompts.train
        validation = bench.prompts.validation or [r for i, r in enumerate(train) if i % 5 == 0]
        rows = None if bench.prompts.validation else [i for i in range(len(train)) if i % 5]
        scores: dict[float, float] = {}
        self._kept.mkdir(exist_ok=True)
        for done, rate in enumerate(rates):
            student = bench.fresh_student()
            imitate(
                bench, student, answers, stage="baseline", steps=steps, learning_rate=rate, rows=rows,
                done_before=done * steps,
            )  # fmt: skip
            scores[rate] = self._measurements.validate(student, validation)
            if rows is None and scores[rate] == max(scores.values()):
                checkpoint.save_learned(student.model, self._kept)
        best = max(rates, key=lambda rate: scores[rate])
        if rows is not None:
            student = bench.fresh_student()
            imitate(
                bench, student, answers, stage="baseline", steps=steps, learning_rate=best,
                done_before=len(rates) * steps,
            )  # fmt: skip
            checkpoint.save_learned(student.model, self._kept)
        return {"learning_rate": best, "scores": {f"{rate:g}": score for rate, score in scores.items()}}
