"""How many requests may be under way, and when the next may leave.

A provider that says it is busy is believed by everybody at once: nobody sends before the time it named, and half as
many send from then on. Each answer that comes gives a little back, up to the configured number.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Time, and waiting for it; tests bring their own."""

    def now(self) -> float:
        """Seconds, from any beginning."""
        return time.monotonic()

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Wait on a held condition, at most so long."""
        condition.wait(seconds)


class Pace:
    """Shared by the threads that ask one provider.

    Args:
        most: requests under way at once, at best.
    """

    def __init__(self, most: int, clock: Clock | None = None):
        self._most, self._clock = most, clock or Clock()
        self._allowed = float(most)
        self._under_way = 0
        self._not_before = 0.0
        self._changed = threading.Condition()
        self._halted = False

    @property
    def allowed(self) -> int:
        """Requests that may be under way at once now."""
        return max(1, int(self._allowed))

    @contextmanager
    def slot(self) -> Iterator[bool]:
        """Hold a place among the requests under way; gives False where no more may leave."""
        with self._changed:
            while not self._halted and (wait_s := self._wait_s()) != 0:
                self._clock.wait(self._changed, wait_s)
            may_leave = not self._halted
            self._under_way += 1
        try:
            yield may_leave
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def _wait_s(self) -> float | None:
        """How long to wait before leaving; None: until a place is free."""
        if self._under_way >= self.allowed:
            return None
        return max(0.0, self._not_before - self._clock.now())

    def slow_down(self, pause_s: float) -> None:
        """The provider is busy: nobody leaves before `pause_s` from now, and fewer afterwards."""
        with self._changed:
            now = self._clock.now()
            if now >= self._not_before:  # many refusals at one moment are one piece of news
                self._allowed = max(1.0, self._allowed / 2)
            self._not_before = max(self._not_before, now + pause_s)
            self._changed.notify_all()

    def went_well(self) -> None:
        """An answer came."""
        with self._changed:
            self._allowed = min(float(self._most), self._allowed + 1 / self._allowed)
            self._changed.notify_all()

    def halt(self) -> None:
        """Nothing more may leave; who waits is let go."""
        with self._changed:
            self._halted = True
            self._changed.notify_all()

    def go_on(self) -> None:
        """Take `halt` back."""
        with self._changed:
            self._halted = False
