"""The imitation baseline on the other core: a child process that trains it while the student is distilled.

Only where that costs the student nothing: on a CPU with a core to spare, and with small models. The child writes its
events as lines of a file; the run's own process, the log's only writer, takes them over. The child ends when its
parent has ended. If it fails, the baseline is trained in turn instead.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from filelock import FileLock

from opd.events import RUN_EVENT, Phase, RunEvent, StepLogged
from opd.pipeline.reporter import Reporter
from opd.store.runs import RunFolder, StopMode

_SMALL_PARAMETERS = 50_000_000
_POLL_S = 0.05


def worthwhile(*, on_cpu: bool, threads: int, num_parameters: int) -> bool:
    """Whether the machine has a core to spare for a second small training."""
    return on_cpu and num_parameters <= _SMALL_PARAMETERS and (os.cpu_count() or 1) > threads


class LineReporter:
    """A child's reporter: the same calls, written as lines for the parent."""

    seq = 1

    def __init__(self, folder: RunFolder, path: Path, parent: int):
        self._folder, self._parent = folder, parent
        self._file: IO[str] = path.open("w", buffering=1)

    def emit(self, *events: RunEvent) -> None:
        for event in events:
            if isinstance(event, StepLogged):
                self._file.write(event.model_dump_json() + "\n")

    def phase(self, phase: Phase, *, total: int | None = None, unit: str = "", detail: str = "") -> None:
        """The parent names its own phases."""

    def progress(self, done: int, total: int | None = None) -> None:
        """The parent counts its own progress."""

    def step(self, event: StepLogged, done: int) -> None:
        """One step, with the progress of all candidates beside it."""
        self.emit(event)
        self._file.write(json.dumps({"done": done}) + "\n")

    def stop_mode(self) -> StopMode | None:
        """Stop when the run is to stop, and when nobody is left to read."""
        return "discard" if os.getppid() != self._parent else self._folder.stop_requested()


class Beside:
    """The parent's side of the child."""

    def __init__(self, folder: RunFolder, reporter: Reporter):
        self._reporter = reporter
        self._path = folder.path / "baseline" / "events.jsonl"
        self._path.parent.mkdir(exist_ok=True)
        self._path.unlink(missing_ok=True)
        self._position, self.done = 0, 0
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", "opd.pipeline.beside", str(folder.path)], stdin=subprocess.DEVNULL
        )

    def relay(self) -> None:
        """Take over what the child has written so far."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._position)
            lines = file.read()
        end = lines.rfind(b"\n") + 1
        self._position += end
        events = []
        for line in lines[:end].splitlines():
            content = json.loads(line)
            if "done" in content:
                self.done = content["done"]
            else:
                events.append(RUN_EVENT.validate_python(content))
        if events:
            self._reporter.emit(*events)

    def finish(self, total: int) -> None:
        """Wait for the child, showing its progress.

        Raises:
            StopRequested: the person asked for an end; the child ends by itself.
        """
        while self._child.poll() is None:
            self.relay()
            self._reporter.progress(self.done, total)
            time.sleep(_POLL_S)
        self.relay()

    def stop(self) -> None:
        """End the child now."""
        self._child.terminate()
        self._child.wait()


def main() -> int:
    """`python -m opd.pipeline.beside RUN_DIR`: train the baseline of a run whose process is our parent."""
    from opd.pipeline.baseline import Baseline
    from opd.pipeline.measuring import Measurements
    from opd.pipeline.reporter import StopRequested
    from opd.pipeline.workbench import set_up

    folder = RunFolder(Path(sys.argv[1]))
    parent = os.getppid()
    with FileLock(folder.path / "baseline" / "lock"):  # a child of a killed parent may still be on its way out
        reporter = LineReporter(folder, folder.path / "baseline" / "events.jsonl", parent)
        try:
            bench = set_up(folder, reporter, {})
            measurements = Measurements(bench)
            baseline = Baseline(bench, measurements)
            baseline.train()
            measurements.of_model("sft", baseline.model(), "evaluating_after", announce=False)
        except StopRequested:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
