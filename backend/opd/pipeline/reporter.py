"""What a running pipeline says and hears: events out, the wish to stop in.

The pipeline calls it from one thread. Progress is thinned to a few events a second; everything else is written at once.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from typing import Any

from opd.events import MoneySpent, Phase, PhaseProgressed, PhaseStarted, RunEvent, StepLogged
from opd.store.events_db import EventWriter
from opd.store.runs import RunFolder, StopMode

_PROGRESS_EVERY_S = 0.25


class StopRequested(Exception):  # noqa: N818  # a wish, not an error
    """The person asked for an end, and the pipeline has reached a point where it can."""

    def __init__(self, mode: StopMode):
        super().__init__(mode)
        self.mode = mode


class Reporter:
    """Writes a run's events and knows whether it should stop.

    Args:
        observe: called with every event after it is written; for a terminal that shows the run.
    """

    def __init__(self, folder: RunFolder, observe: Callable[[RunEvent], None] | None = None):
        self._folder = folder
        self._writer: EventWriter = folder.writer()
        self._observe = observe or (lambda event: None)
        self._signalled = False
        self._phase: Phase = "loading"
        self._total: int | None = None
        self._spent_usd: float | None = None
        self._begun = self._last_progress = 0.0

    @property
    def seq(self) -> int:
        """Number of the last event written."""
        return self._writer.seq

    def emit(self, *events: RunEvent) -> None:
        """Write events, in one transaction."""
        if not events:
            return
        self._writer.append(*events)
        for event in events:
            if isinstance(event, MoneySpent) and event.unit == "usd":
                self._spent_usd = event.spent_nano_usd / 1e9
            self._observe(event)

    @property
    def current_phase(self) -> Phase:
        """The phase that was begun last."""
        return self._phase

    def phase(self, phase: Phase, *, total: int | None = None, unit: str = "", detail: str = "") -> None:
        """Say that a phase begins."""
        self._phase, self._total, self._begun, self._last_progress = phase, total, time.monotonic(), 0.0
        self.emit(PhaseStarted(phase=phase, total=total, unit=unit, detail=detail))

    def progress(self, done: int, total: int | None = None) -> None:
        """Say how far the phase is, and end it here if a stop was asked for.

        Raises:
            StopRequested: in phases that are repeated after a resume, a stop takes effect at once.
        """
        total = total if total is not None else self._total
        self._say_progress(done, total)
        if self._phase != "distilling" and (mode := self.stop_mode()):
            raise StopRequested(mode)

    def step(self, event: StepLogged, done: int) -> None:
        """One optimizer step of a stage, with the phase's progress in the same transaction."""
        if self._spent_usd is not None:  # so that curves can be drawn over dollars
            event = event.model_copy(update={"metrics": {**event.metrics, "spent_usd": self._spent_usd}})
        now = time.monotonic()
        due = now - self._last_progress >= _PROGRESS_EVERY_S
        self.emit(event, *([self._progress_event(done, self._total, now)] if due else []))
        self._last_progress = now if due else self._last_progress

    def _say_progress(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now - self._last_progress >= _PROGRESS_EVERY_S or done == total:
            self._last_progress = now
            self.emit(self._progress_event(done, total, now))

    def _progress_event(self, done: int, total: int | None, now: float) -> PhaseProgressed:
        elapsed = now - self._begun
        eta = elapsed / done * (total - done) if total and done > 0 else None
        return PhaseProgressed(phase=self._phase, done=done, total=total, eta_s=eta)

    # --- the wish to stop -----------------------------------------------------------------------

    def listen(self) -> None:
        """Take Ctrl-C and SIGTERM as a wish to stop and save. A second Ctrl-C ends the process at once."""

        def heard(number: int, _: Any) -> None:
            self._signalled = True
            signal.signal(number, signal.SIG_DFL)

        for name in ("SIGINT", "SIGTERM"):
            signal.signal(getattr(signal, name), heard)

    def stop_mode(self) -> StopMode | None:
        """How to stop, if that was asked for by file or by signal."""
        return "save" if self._signalled else self._folder.stop_requested()

    def close(self) -> None:
        self._writer.close()


def finite(metrics: dict[str, float | None]) -> dict[str, float | None]:
    """The same metrics with None for what is no finite number: shown as a gap, never as 0."""
    return {k: v if v is not None and math.isfinite(v) else None for k, v in metrics.items()}
