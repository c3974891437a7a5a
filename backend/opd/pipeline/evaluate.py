"""A run's model measured again on its held-out prompts: `opd eval`. Nothing of the run itself is touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from opd.errors import DataError
from opd.evaluation.measure import Subject, evaluate_model
from opd.evaluation.summary import summarize
from opd.events import EvaluationFinished, Phase, RunEvent
from opd.export.source import open_source
from opd.pipeline.beside import LineReporter
from opd.pipeline.measuring import SCORED_PROMPTS, Measurements
from opd.pipeline.workbench import set_up
from opd.store.runs import RunFolder, StopMode


class Spoken(LineReporter):
    """What setting up reports to where nothing is logged: phases in words, progress to whoever wants it."""

    def __init__(self, say: Callable[[str], None], count: Callable[[int, int | None], None] | None = None):
        self._say, self._count = say, count

    def emit(self, *events: RunEvent) -> None:
        """Nothing is logged."""

    def phase(self, phase: Phase, *, total: int | None = None, unit: str = "", detail: str = "") -> None:
        """The name of what is done now."""
        self._say(detail or phase)

    def progress(self, done: int, total: int | None = None) -> None:
        """Units of it."""
        if self._count is not None:
            self._count(done, total)

    def stop_mode(self) -> StopMode | None:
        """Ctrl-C ends it."""
        return None


def evaluate_run(
    folder: RunFolder, spoken: Spoken, *, step: int | None = None, keys: Mapping[str, str] | None = None
) -> EvaluationFinished:
    """Measure what the run has trained.

    Args:
        step: one of its checkpoints; None: the finished model.

    Raises:
        NotFoundError: there is no such model.
        DataError: the run has no held-out prompts, or its files have changed.
        OPDError: as setting up a run.
    """
    source = open_source(folder, step=step, final=True)
    bench = set_up(folder, spoken, keys or {})
    try:
        if not bench.prompts.test:
            raise DataError("This run holds no prompts out.", hint="Set data.test_fraction or data.test_path.")
        spoken.phase("evaluating_after", detail="measuring")
        measurements = Measurements(bench)
        evaluation = evaluate_model(
            Subject("after", source.model.to(bench.device), "", bench.student.eos_ids, bench.student.pad_id),
            bench.prompts.test,
            bench.test_ids,
            data=bench.config.data,
            settings=measurements.settings(SCORED_PROMPTS),
            decode=bench.decode,
            scorer=measurements.scorer,
            progress=spoken.progress,
        )
    finally:
        bench.teacher.close()
    return summarize("after", evaluation, seed=bench.config.seed)
