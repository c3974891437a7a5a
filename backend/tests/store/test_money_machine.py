"""The ledger against a model of it: any order of calls, losses, crashes and caps."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from opd.errors import BudgetReachedError
from opd.pricing import Usage, price, typed_price, worst_case
from opd.store.money import CallRequest, Hit, InFlight, Ledger, LedgerError, Reservation, audit, request_key

PRICE = typed_price("sim/teacher", 1, 10)
RUNS = ("run-1", "run-2")
MAX_TOKENS = 50
OPEN = ("RESERVED", "SENT")
# Its promises are about order, not about power loss: memory will do, where there is a folder in memory.
FOLDER = "/dev/shm" if os.path.isdir("/dev/shm") else None

runs = st.sampled_from(RUNS)
questions = st.sampled_from("abcdef")
tokens = st.integers(0, MAX_TOKENS)
caps = st.integers(0, 12 * worst_case(MAX_TOKENS, MAX_TOKENS, PRICE))


@dataclass
class ModelCall:
    """What the outside world knows of a call."""

    key: str
    run: str
    ledger: int
    worst: int
    state: str = "RESERVED"
    billed: int | None = None
    booked: int = 0
    usage: Usage = field(default_factory=Usage)


class LedgerMachine(RuleBasedStateMachine):
    """Two processes' ledgers on one file, a provider that bills, and everything that can go wrong between them."""

    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="opd-ledger-", dir=FOLDER))
        self.known: dict[int, ModelCall] = {}
        self.ledgers: list[Ledger] = []
        self.caps: dict[str, int] = {}
        self.answers: dict[str, bytes] = {}
        self.overrun = dict.fromkeys(RUNS, 0)
        self.saved = dict.fromkeys(RUNS, 0)

    @initialize(first=caps, second=caps)
    def open(self, first: int, second: int) -> None:
        self.ledgers = [Ledger(self.folder / "money.db"), Ledger(self.folder / "money.db")]
        for run, cap in zip(RUNS, (first, second), strict=True):
            self.ledgers[0].set_run_cap(run, cap)
            self.caps[run] = cap

    def teardown(self) -> None:
        for ledger in self.ledgers:
            ledger.close()
        shutil.rmtree(self.folder)

    # --- what a run does ---

    @rule(target=calls, which=st.integers(0, 1), run=runs, question=questions, count=tokens)
    def reserve(self, which: int, run: str, question: str, count: int) -> Any:
        key = request_key({"question": question})
        wanted = CallRequest(key, run, "answers", "sim/teacher", PRICE, count, count)
        room = self.caps[run] - self.counted(run)
        is_open = any(call.key == key and call.state in OPEN for call in self.known.values())
        try:
            result = self.ledgers[which].reserve(wanted)
        except BudgetReachedError:
            assert key not in self.answers
            assert not is_open
            assert wanted.worst_nano_usd > room
            return multiple()
        if isinstance(result, Hit):
            assert result.body == self.answers[key]
            self.saved[run] += result.saved_nano_usd
            return multiple()
        assert key not in self.answers
        assert isinstance(result, InFlight) == is_open
        if isinstance(result, InFlight):
            return multiple()
        assert isinstance(result, Reservation)
        assert wanted.worst_nano_usd <= room
        self.known[result.call_id] = ModelCall(key, run, which, wanted.worst_nano_usd)
        return result.call_id

    @rule(call_id=calls)
    def send(self, call_id: int) -> None:
        self.step(call_id, ("RESERVED",), "SENT", lambda ledger: ledger.sent(call_id))

    @rule(call_id=calls, used=tokens, written=tokens)
    def provider_answers(self, call_id: int, used: int, written: int) -> None:
        """The provider works and bills; whether its reply arrives is another rule."""
        call = self.known[call_id]
        if call.state == "SENT" and call.billed is None:
            call.usage = Usage(input_tokens=used, output_tokens=written)
            while price(call.usage, PRICE) > call.worst:
                call.usage = Usage(call.usage.input_tokens // 2, 0, call.usage.output_tokens // 2)
            call.billed = price(call.usage, PRICE)

    @rule(call_id=calls)
    def reply_arrives(self, call_id: int) -> None:
        call = self.known[call_id]
        if call.state in ("SENT", "UNCERTAIN") and call.billed is None:
            return  # nothing was answered, so nothing can arrive
        body = f"answer to call {call_id}".encode()
        moved = self.step(
            call_id, ("SENT", "UNCERTAIN"), "SETTLED", lambda ledger: ledger.settle(call_id, call.usage, body)
        )
        if moved:
            call.booked = call.billed or 0
            self.answers.setdefault(call.key, body)

    @rule(call_id=calls)
    def reply_arrives_twice(self, call_id: int) -> None:
        call = self.known[call_id]
        body = f"answer to call {call_id}".encode()
        if call.state == "SETTLED" and self.answers[call.key] == body:
            before = self.ledgers[call.ledger].run_meter(call.run)
            self.ledgers[call.ledger].settle(call_id, call.usage, body)
            assert self.ledgers[call.ledger].run_meter(call.run) == before

    @rule(call_id=calls, extra=st.integers(1, 100))
    def provider_charges_more_than_possible(self, call_id: int, extra: int) -> None:
        call = self.known[call_id]
        if call.state != "SENT" or call.billed is not None:
            return
        usage = Usage(input_tokens=call.worst // 1000 + extra)
        call.usage, call.billed = usage, price(usage, PRICE)
        body = f"answer to call {call_id}".encode()
        settled = self.ledgers[call.ledger].settle(call_id, usage, body)
        assert settled.overrun_nano_usd == call.billed - call.worst > 0
        self.overrun[call.run] += settled.overrun_nano_usd
        call.state, call.booked = "SETTLED", call.billed
        self.answers.setdefault(call.key, body)

    @rule(call_id=calls)
    def reply_is_lost(self, call_id: int) -> None:
        self.step(call_id, ("SENT",), "UNCERTAIN", lambda ledger: ledger.uncertain(call_id, "timeout"))

    @rule(call_id=calls)
    def provider_refuses(self, call_id: int) -> None:
        if self.known[call_id].billed is None:
            self.step(call_id, OPEN, "RELEASED", lambda ledger: ledger.release(call_id, "429"))

    @rule(call_id=calls)
    def write_off(self, call_id: int) -> None:
        call = self.known[call_id]
        if self.step(call_id, ("UNCERTAIN",), "WRITTEN_OFF", lambda ledger: ledger.write_off(call_id, "gave up")):
            call.booked = call.worst

    # --- what befalls it ---

    @rule(which=st.integers(0, 1))
    def crash(self, which: int) -> None:
        self.ledgers[which].close()
        self.ledgers[which] = Ledger(self.folder / "money.db")
        found = {"RESERVED": 0, "SENT": 0}
        for call in self.known.values():
            if call.ledger == which and call.state in OPEN:
                found[call.state] += 1
                call.state = "RELEASED" if call.state == "RESERVED" else "UNCERTAIN"
        recovered = self.ledgers[which].recovered
        assert (recovered.num_released, recovered.num_uncertain) == (found["RESERVED"], found["SENT"])

    @rule(run=runs, cap=caps)
    def change_cap(self, run: str, cap: int) -> None:
        try:
            self.ledgers[0].set_run_cap(run, cap)
        except LedgerError:
            assert cap < self.counted(run)
        else:
            assert cap >= self.counted(run)
            self.caps[run] = cap

    @rule(call_id=consumes(calls))
    def forget(self, call_id: int) -> None:
        """Nobody comes back to this call; it must stay as it is."""

    # --- what must always hold ---

    @invariant()
    def figures_are_true(self) -> None:
        if not self.ledgers:
            return
        assert audit(self.ledgers[0]) == []
        for run in RUNS:
            mine = [call for call in self.known.values() if call.run == run]
            meter = self.ledgers[1].run_meter(run)
            assert meter.spent_nano_usd == sum(call.booked for call in mine)
            assert meter.spent_nano_usd + meter.held_nano_usd == self.counted(run)
            assert meter.saved_nano_usd == self.saved[run]
            assert self.counted(run) <= self.caps[run] + self.overrun[run]
            assert sum(call.billed or 0 for call in mine) <= self.counted(run)
        open_keys = [call.key for call in self.known.values() if call.state in OPEN]
        assert len(open_keys) == len(set(open_keys))

    def counted(self, run: str) -> int:
        held = ("RESERVED", "SENT", "UNCERTAIN")
        return sum(call.worst if call.state in held else call.booked for call in self.known.values() if call.run == run)

    def step(self, call_id: int, allowed: tuple[str, ...], state: str, book: Any) -> bool:
        """Book a transition; where it is not allowed it must be refused and change nothing."""
        call = self.known[call_id]
        if call.state == "SETTLED" and state == "SETTLED":
            return False
        try:
            book(self.ledgers[call.ledger])
        except LedgerError:
            assert call.state not in allowed
            return False
        assert call.state in allowed
        call.state = state
        return True


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.mark.torture
def test_ten_thousand_histories() -> None:
    """In half an hour of torture; fewer in less."""
    share = min(1.0, float(os.environ.get("OPD_TORTURE_MINUTES", "30")) / 30)
    longer = settings(TestLedgerMachine.settings, max_examples=round(10_000 * share), stateful_step_count=80)
    run_state_machine_as_test(LedgerMachine, settings=longer)
