"""A run in the terminal: plain lines, and a bar for the phase where there is a terminal. Writes to stderr only."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from opd.events import PhaseProgressed, PhaseStarted, RunEvent, StepLogged, VerdictReached
from opd.terminal import describe


class RunDisplay:
    """Shows a run's events as they come. Use as a context manager; give `show` as the pipeline's observer."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bars = Progress(
            TextColumn("  {task.fields[note]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def show(self, event: RunEvent) -> None:
        """One event of the run."""
        line = event.headline if isinstance(event, VerdictReached) else describe(event)
        if line and not (isinstance(event, StepLogged) and self._console.is_terminal):
            self._console.print(line, markup=False, soft_wrap=True)
        match event:
            case PhaseStarted():
                self._begin(event)
            case PhaseProgressed():
                self._advance(event.done, event.total)
            case StepLogged():
                loss = event.metrics.get("loss")
                note = f"{event.stage.replace('_', ' ')}, loss {loss:.4g}" if loss is not None else event.stage
                self._advance(event.step, None, note)
            case _:
                pass

    def _begin(self, event: PhaseStarted) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task("", total=event.total, note=event.detail or event.unit)

    def _advance(self, done: int, total: int | None, note: str | None = None) -> None:
        if self._task is None:
            return
        self._bars.update(self._task, completed=done)
        if total is not None:
            self._bars.update(self._task, total=total)
        if note is not None:
            self._bars.update(self._task, note=note)
