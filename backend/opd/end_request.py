"""Being asked to end, by Ctrl-C or by the system."""

from __future__ import annotations

import signal
from typing import Any, Self


class EndRequest:
    """Ctrl-C and SIGTERM as a wish to look at, inside the `with`; a second one raises KeyboardInterrupt.

    An exception that arrives in the middle of `Thread.join` makes Python 3.11 take a thread at work for an ended one
    (bpo-45274): the server would serve on, unjoined, into the interpreter's own end.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, *_: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
