"""Looks at a distillation while it goes on: alarms, and live samples of what the student answers.

In: each step's metrics. Out: events. A resumed run is shown the steps that count, so that its alarms are those of an
uninterrupted run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import TypeGuard

from opd.evaluation.health import HealthMonitor
from opd.events import RunEvent, SampleRecorded, StepLogged
from opd.pipeline.beside import Beside
from opd.pipeline.samples import SampleRecorder
from opd.pipeline.workbench import Workbench
from opd.training.window_trainer import Metrics


class Watcher:
    """The eyes of one run. `beside`: a child at work on the baseline, whose events are taken over at each step."""

    def __init__(self, bench: Workbench):
        self._bench = bench
        self._samples = SampleRecorder(bench)
        self._monitor = HealthMonitor(bench.config.sampling.max_completion_tokens)
        self.beside: Beside | None = None

    def observe(self, step: int, metrics: Metrics) -> None:
        """One step of the distillation."""
        config, reporter = self._bench.config, self._bench.reporter
        reporter.emit(*self._monitor.observe(step, metrics))
        if self.beside is not None:
            self.beside.relay()
        if step % config.evaluation.probe_every_steps == 0 or step == config.max_steps:
            for sample in self._samples.of_student(step):
                reporter.emit(*self._monitor.observe_sample(step, sample.text, truncated=False, prompt=sample.prompt))

    def keep_private(self, texts: Sequence[str]) -> None:
        """From now on it is an alarm where the student repeats passages of these."""
        self._monitor.private_texts = tuple(texts)

    def recall(self, last: int) -> None:
        """The distillation goes on after this step: what was learnt from the steps before is learnt again."""
        steps = {e.step: e.metrics for e in self._logged() if _is_step(e) and e.step <= last}
        samples: dict[int, list[SampleRecorded]] = {}
        for event in self._logged():
            if isinstance(event, SampleRecorded) and event.author == "student" and 0 < event.step <= last:
                samples.setdefault(event.step, []).append(event)
        for step in sorted(steps):
            self._monitor.observe(step, steps[step])
            probes = samples.get(step, [])
            for sample in {sample.prompt_id: sample for sample in probes}.values():
                self._monitor.observe_sample(step, sample.text, truncated=False, prompt=sample.prompt)

    def first_samples(self) -> None:
        """What student and teacher answer before the first step, each recorded once however often the run resumes."""
        earlier = takewhile(lambda event: not _is_step(event), self._logged())
        known = {event.author for event in earlier if isinstance(event, SampleRecorded)}
        if "student" not in known:
            self._samples.of_student(0)
        if "teacher" not in known:
            self._samples.of_teacher()

    def _logged(self) -> Iterator[RunEvent]:
        after = 0
        with self._bench.folder.reader() as reader:
            while page := reader.read(after):
                after = page[-1].seq
                yield from (stored.event for stored in page)


def _is_step(event: RunEvent) -> TypeGuard[StepLogged]:
    return isinstance(event, StepLogged) and event.stage == "distillation"
