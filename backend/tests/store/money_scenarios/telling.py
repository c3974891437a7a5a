"""What every story about the ledger is told with: requests, an open ledger, a refusal, a payment."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from opd.errors import OPDError
from opd.pricing import Usage, typed_price

Scenario = Callable[[ModuleType, Path], None]
SCENARIOS: list[Scenario] = []

PRICE = typed_price("sim/teacher", 1, 10, on=datetime(2026, 11, 1, tzinfo=UTC).date())
WORST = 100 * 1_000 + 100 * 10_000  # 100 tokens in, 100 tokens out
USAGE = Usage(input_tokens=40, output_tokens=20)
COST = 40 * 1_000 + 20 * 10_000
BODY = b'{"answer": "Copper is short."}'


def scenario(function: Scenario) -> Scenario:
    SCENARIOS.append(function)
    return function


def request(money: ModuleType, name: str, *, run: str = "run-1", stage: str = "answers", tokens: int = 100) -> Any:
    key = money.request_key({"model": "teacher", "messages": [name]})
    return money.CallRequest(key, run, stage, "sim/teacher", PRICE, tokens, tokens)


def opened(money: ModuleType, folder: Path, *, cap: int | None = 10 * WORST, **options: Any) -> Any:
    ledger = money.Ledger(folder / "money.db", **options)
    if cap is not None:
        ledger.set_run_cap("run-1", cap)
    return ledger


def crash(money: ModuleType, ledger: Any) -> None:
    """What a dead process leaves behind: no farewell, and nobody who answers to its name."""
    ledger.close()


@contextmanager
def refused(kind: type[OPDError]) -> Iterator[None]:
    """Like `pytest.raises`, but exact about the class, so that another error does not pass for it."""
    found: OPDError | None = None
    try:
        yield
    except OPDError as error:
        found = error
    assert type(found).__name__ == kind.__name__, f"{found!r} instead of {kind.__name__}"
    assert found is not None
    assert found.hint, "a refusal says what to do"


def raw(folder: Path) -> sqlite3.Connection:
    """Another connection, to see what is really on disk."""
    return sqlite3.connect(folder / "money.db", isolation_level=None, timeout=5)


def pay(ledger: Any, wanted: Any, usage: Usage | None = USAGE, body: bytes = BODY) -> Any:
    call = ledger.claim(wanted)
    ledger.sent(call.call_id)
    return ledger.settle(call.call_id, usage, body)
