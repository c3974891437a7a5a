"""What the money's bookkeeping costs a run, and whether a provider is kept busy.

In: a number of calls, how long the provider takes for each, how many at once. Out: a `LedgerReport`. The calls go
through the official SDK to a provider in a process of its own that answers each after a fixed time. They are made in
blocks that take turns: one as a run makes them (held, sent and settled on disk, with their answers), one through the
same wire with no ledger at all. So whatever else the machine does slows both, and the difference is the bookkeeping.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from opd.config import ChatTeacher
from opd.errors import ConfigError, RunFailedError
from opd.store.money import Ledger
from opd.teachers.base import AnswerSampling
from opd.teachers.chat import Ask, ChatApi, Purse, endpoint_of, price_of
from opd.teachers.chat.apis import request_body
from opd.teachers.chat.till import MAX_ATTEMPTS
from opd.teachers.chat.wire import TurnedAway, Wire

Progress = Callable[[int, int | None], None]
_CAP_USD = 1000.0
_ROUNDS = 10  # answers that each thread waits for in a block


@dataclass(frozen=True)
class LedgerReport:
    """Seconds are wall-clock, of all blocks of a kind together; shares are of 1."""

    num_calls: int
    concurrency: int
    answer_s: float
    booked_s: float
    """The calls as a run makes them."""
    plain_s: float
    """The same calls without a ledger."""
    bookkeeping_share: float
    """What the ledger adds, as a share of `booked_s`; below 0 where noise is larger."""
    busy_share: float
    """Of the requests that could have been under way at the provider, how many were, over the whole time."""
    plain_busy_share: float
    """The same without a ledger: what this machine can do at all."""

    def as_dict(self) -> dict[str, object]:
        """JSON form."""
        return asdict(self)

    def as_text(self) -> str:
        """The same for people."""
        best_s = self.num_calls * self.answer_s / self.concurrency
        return "\n".join(
            [
                f"{self.num_calls:,} calls, {self.concurrency} at once, {self.answer_s:g} s each at the provider",
                f"  as a run makes them  {self.booked_s:8.1f} s   (at best {best_s:.1f} s)",
                f"  without a ledger     {self.plain_s:8.1f} s",
                f"  bookkeeping          {self.bookkeeping_share:8.1%}",
                f"  provider kept busy   {self.busy_share:8.1%}   (without a ledger {self.plain_busy_share:.1%})",
            ]
        )


def run_ledger_bench(
    *, calls: int = 10_000, concurrency: int = 32, answer_s: float = 1.0, progress: Progress | None = None
) -> LedgerReport:
    """Measure on this machine's disk, in a folder that is removed afterwards.

    Raises:
        ConfigError: no call, no time, or nothing at once.
        RunFailedError: the provider did not start.
    """
    if calls < 1 or concurrency < 1 or answer_s <= 0:
        raise ConfigError("There is nothing to measure.", hint="Give at least one call, one at once, and some time.")
    with tempfile.TemporaryDirectory(prefix="opd-ledger-") as scratch, _provider(answer_s) as url:
        booked_s, plain_s = _take_turns(Path(scratch) / "money.db", url, calls, concurrency, progress)
    best_s = calls * answer_s / concurrency
    return LedgerReport(
        num_calls=calls,
        concurrency=concurrency,
        answer_s=answer_s,
        booked_s=booked_s,
        plain_s=plain_s,
        bookkeeping_share=(booked_s - plain_s) / booked_s,
        busy_share=best_s / booked_s,
        plain_busy_share=best_s / plain_s,
    )


def _take_turns(path: Path, url: str, calls: int, concurrency: int, progress: Progress | None) -> tuple[float, float]:
    """Seconds with a ledger, and without."""
    teacher, booked_s, plain_s = _teacher(url, concurrency), 0.0, 0.0
    endpoint, sampling = endpoint_of(teacher), AnswerSampling(max_tokens=600)
    warm_up, *asks = [
        Ask(({"role": "user", "content": f"Question {number} of a run. " * 30},), sampling)
        for number in range(calls + 1)
    ]
    with (
        Ledger(path) as ledger,
        Wire(endpoint, key=None, timeout_s=60.0, most=concurrency) as wire,
        ThreadPoolExecutor(concurrency) as threads,
    ):
        purse = Purse(ledger, "bench")
        purse.cap(usd=_CAP_USD)
        with ChatApi.from_config(teacher, price_of(teacher), purse=purse) as chat:
            chat.ask([warm_up], stage="warm-up")  # loads the SDK
            wire.send(request_body(warm_up, endpoint))
            size = max(1, min(calls, concurrency * _ROUNDS))
            for start in range(0, calls, size):
                block = asks[start : start + size]
                begun = time.perf_counter()
                chat.ask(block, stage="answers")
                between = time.perf_counter()
                for _ in threads.map(lambda ask: _send_plain(wire, request_body(ask, endpoint)), block):
                    pass
                booked_s, plain_s = booked_s + between - begun, plain_s + time.perf_counter() - between
                if progress is not None:
                    progress(start + len(block), calls)
    return booked_s, plain_s


def _send_plain(wire: Wire, body: dict[str, Any]) -> None:
    """A call without a ledger, as stubborn as one with it."""
    for _ in range(MAX_ATTEMPTS):
        with contextlib.suppress(TurnedAway):
            wire.send(body)
            return
    raise RunFailedError("The bench's provider cannot be reached.", hint="Try again when the machine is less busy.")


@contextmanager
def _provider(answer_s: float) -> Iterator[str]:
    command = [sys.executable, "-P", "-m", "opd.bench.patient_provider", str(answer_s)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None  # noqa: S101  # opened as a pipe above
        port = process.stdout.readline().strip()
        if not port.isdigit():
            raise RunFailedError("The bench's provider did not start.", hint="Its message is above.")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.communicate()


def _teacher(url: str, concurrency: int) -> ChatTeacher:
    return ChatTeacher(
        model="local/patient",
        base_url=url,
        input_usd_per_million=1,
        output_usd_per_million=10,
        max_concurrency=concurrency,
    )
