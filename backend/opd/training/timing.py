"""Where a step's time goes: rollout, teacher, student, loss, backward, optimizer."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class PhaseClock:
    """Adds up wall time by phase; a phase inside another is not counted in the outer one.

    On GPUs it waits for the device at each phase's end, so that times are true.
    """

    def __init__(self, device: torch.device):
        self._on_gpu = device.type == "cuda"
        self._seconds: dict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._started = self._since = time.perf_counter()

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        self._book()
        self._open.append(phase)
        try:
            yield
        finally:
            self._book()
            self._open.pop()

    def is_open(self, phase: str) -> bool:
        """Whether this phase, or one inside it, is running."""
        return phase in self._open

    def take(self) -> dict[str, float]:
        """Metrics `time/<phase>_s` and `time/step_s` since the last call, and start anew."""
        self._book()
        now = time.perf_counter()
        metrics = {f"time/{phase}_s": seconds for phase, seconds in self._seconds.items()}
        metrics["time/step_s"] = now - self._started
        self._seconds.clear()
        self._started = now
        return metrics

    def _book(self) -> None:
        """Credit the time since the last change to the innermost open phase."""
        if self._on_gpu:
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self._open:
            self._seconds[self._open[-1]] += now - self._since
        self._since = now
