"""Where a step's time goes: rollout, teacher, student, loss, backward, optimizer."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class PhaseClock:
    """Adds up wall time by phase. On GPUs it waits for the device at each phase's end, so that times are true."""

    def __init__(self, device: torch.device):
        self._on_gpu = device.type == "cuda"
        self._seconds: dict[str, float] = defaultdict(float)
        self._started = time.perf_counter()

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            if self._on_gpu:
                torch.cuda.synchronize()
            self._seconds[phase] += time.perf_counter() - begun

    def take(self) -> dict[str, float]:
        """Metrics `time/<phase>_s` and `time/step_s` since the last call, and start anew."""
        now = time.perf_counter()
        metrics = {f"time/{phase}_s": seconds for phase, seconds in self._seconds.items()}
        metrics["time/step_s"] = now - self._started
        self._seconds.clear()
        self._started = now
        return metrics
