"""Every fault of a provider has its documented state: the table in docs/chat-teachers.md, run row by row."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fake_provider import FAULTS, CountingBrain, FakeProvider
from opd.config import ChatTeacher
from opd.errors import OPDError
from opd.pricing import worst_case
from opd.store.money import Ledger, audit
from opd.teachers.base import AnswerSampling
from opd.teachers.chat import Ask, ChatApi, Purse, endpoint_of, price_of
from opd.teachers.chat.pace import Clock

DOCUMENT = Path(__file__).resolve().parents[4] / "docs" / "chat-teachers.md"
KEY = "sk-canary-5c1e7f0a9b3d"
MODELS = {"openai": "openai/gpt-4o-mini", "anthropic": "anthropic/claude-sonnet-4-6"}
SILENT = {"hang", "drip"}


@dataclass(frozen=True)
class Row:
    """A documented state."""

    fault: str
    is_always: bool
    outcome: str
    states: tuple[str, ...]
    at_worst_case: bool


def documented() -> list[Row]:
    """The rows of the table."""
    table = DOCUMENT.read_text().partition("<!-- faults: begin -->")[2].partition("<!-- faults: end -->")[0]
    rows = []
    for line in table.strip().splitlines()[2:]:
        fault, often, outcome, ledger = (cell.strip() for cell in line.strip("|").split("|"))
        states = [
            state for state, times in re.findall(r"([A-Z]{4,})(?: ×(\d))?", ledger) for _ in range(int(times or 1))
        ]
        rows.append(Row(fault, often == "always", outcome, tuple(states), "worst case" in ledger))
    return rows


class JumpingClock(Clock):
    """Does not wait but goes there, and remembers for how long it was to wait."""

    def __init__(self) -> None:
        self.time, self.waits = 0.0, list[float]()

    def now(self) -> float:
        return self.time

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        if seconds is None:
            condition.wait()
        else:
            self.waits.append(seconds)
            self.time += seconds


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider(CountingBrain()) as provider:
        yield provider


ROWS = documented()


@pytest.mark.parametrize("api", MODELS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.fault}-{'always' if row.is_always else 'once'}")
def test_a_fault_has_its_documented_state(
    row: Row, api: str, provider: FakeProvider, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    provider.behave()
    provider.fail(row.fault, None if row.is_always else 1)
    billed, num_seen = provider.invoice.nano_usd, len(provider.seen)
    teacher = ChatTeacher(model=MODELS[api], base_url=provider.url + ("/v1" if api == "openai" else ""))
    clock, text = JumpingClock(), ""
    with Ledger(tmp_path / "money.db") as ledger:
        purse = Purse(ledger, "run-1")
        purse.cap(usd=1)
        timeout_s = 0.8 if row.fault in SILENT else 60.0
        endpoint, price = endpoint_of(teacher), price_of(teacher)
        with ChatApi(endpoint, price, purse=purse, key=KEY, timeout_s=timeout_s, clock=clock) as chat:
            ask = Ask(({"role": "user", "content": "What is dear?"},), AnswerSampling(max_tokens=8))
            try:
                (answer,) = chat.ask([ask], stage="answers")
                outcome, text = answer.problem or "answered", f"{answer}"
            except OPDError as error:
                outcome, text = error.code, f"{error} {error.as_dict()}"
            worst = worst_case(ask.max_input_tokens(), ask.max_output_tokens(endpoint), price)
        rows = ledger.database.read(lambda db: [tuple(r) for r in db.execute("SELECT state, spent FROM calls")])
        meter = purse.meter()
        assert audit(ledger) == []
    expected = "refusal" if (api, row.outcome) == ("anthropic", "filtered") else row.outcome
    assert (outcome, tuple(state for state, _ in rows)) == (expected, row.states)
    assert len(provider.seen) - num_seen == len(row.states), "one row of the ledger is one request"
    invoice = provider.invoice.nano_usd - billed
    assert invoice <= meter.spent_nano_usd + meter.held_nano_usd
    if row.at_worst_case:
        assert [spent for _, spent in rows] == [worst]
    elif "UNCERTAIN" not in row.states:
        assert meter.spent_nano_usd == invoice, "what is settled is what is billed"
    assert all(wait >= 2 for wait in clock.waits[:1] if row.fault == "rate_limit"), "never sooner than asked"
    assert KEY not in text + caplog.text
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.iterdir())


def test_every_fault_is_documented() -> None:
    assert {row.fault for row in ROWS} == set(FAULTS)
    assert len(FAULTS) >= 45
