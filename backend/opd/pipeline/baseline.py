"""The imitation baseline: as many steps of plain imitation, at the best of its learning rates. What has to be beaten.

In: a `Workbench`. Out: kept weights in `baseline/`, and which learning rate won. Trained in a child process during
distillation where the machine has a core for it, else afterwards.
"""

from __future__ import annotations

from typing import Any

import torch

from opd.pipeline import beside
from opd.pipeline.beside import Beside
from opd.pipeline.imitation import teacher_answers
from opd.pipeline.measuring import Measurements
from opd.pipeline.reporter import Reporter
from opd.pipeline.tuning import num_tuning_steps, tuned_imitation
from opd.pipeline.workbench import Workbench
from opd.training import checkpoint
from opd.training.decoding import Completion


class Baseline:
    """The baseline of one run."""

    def __init__(self, bench: Workbench, measurements: Measurements, answers: list[Completion] | None = None):
        self._bench, self._measurements, self._answers = bench, measurements, answers
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
            config, answers = self._bench.config, self._answers or teacher_answers(self._bench)
            found = tuned_imitation(
                self._bench, self._measurements, answers, stage="baseline", steps=config.max_steps,
                rates=config.baseline.learning_rates, kept=self._kept,
            )  # fmt: skip
            results.put("baseline", found)

    def model(self) -> Any:
        """The kept baseline."""
        student = self._bench.fresh_student()
        checkpoint.load_learned(student.model, self._kept)
        return student.model

    def _num_steps(self) -> int:
        config = self._bench.config
        return num_tuning_steps(self._bench, config.max_steps, config.baseline.learning_rates)
