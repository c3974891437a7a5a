"""A call from reservation to its end: forward only, booked with its answer, held while it is uncertain."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from opd.errors import BudgetReachedError, OPDError, StorageError, TeacherError
from opd.pricing import Usage
from tests.store.money_scenarios.telling import (
    BODY,
    COST,
    USAGE,
    WORST,
    crash,
    opened,
    pay,
    raw,
    refused,
    request,
    scenario,
)


@scenario
def states_move_only_forward(money: ModuleType, folder: Path) -> None:
    with opened(money, folder, cap=100 * WORST) as ledger:

        def at(state: str) -> int:
            call = ledger.reserve(request(money, f"{state} {os.urandom(4).hex()}")).call_id
            if state == "RESERVED":
                return int(call)
            if state != "RELEASED":
                ledger.sent(call)
            {
                "SENT": lambda: None,
                "RELEASED": lambda: ledger.release(call, ""),
                "UNCERTAIN": lambda: ledger.uncertain(call, ""),
                "SETTLED": lambda: ledger.settle(call, USAGE, BODY),
                "WRITTEN_OFF": lambda: (ledger.uncertain(call, ""), ledger.write_off(call, "")),
            }[state]()
            return int(call)

        steps: dict[str, Callable[[int], object]] = {
            "SENT": ledger.sent,
            "SETTLED": lambda call: ledger.settle(call, Usage(1, 0, 1), BODY),
            "RELEASED": lambda call: ledger.release(call, ""),
            "UNCERTAIN": lambda call: ledger.uncertain(call, ""),
            "WRITTEN_OFF": lambda call: ledger.write_off(call, ""),
        }
        allowed = {
            "RESERVED": {"SENT", "RELEASED"},
            "SENT": {"SETTLED", "RELEASED", "UNCERTAIN"},
            "UNCERTAIN": {"SETTLED", "WRITTEN_OFF"},
            "SETTLED": set(),
            "RELEASED": set(),
            "WRITTEN_OFF": set(),
        }
        for state, onward in allowed.items():
            for target, step in steps.items():
                if target in onward:
                    step(at(state))
                else:
                    with refused(money.LedgerError):
                        step(at(state))
        assert money.audit(ledger) == []


@scenario
def settling_twice_changes_nothing(money: ModuleType, folder: Path) -> None:
    with opened(money, folder) as ledger:
        call = ledger.claim(request(money, "a"))
        ledger.sent(call.call_id)
        first = ledger.settle(call.call_id, USAGE, BODY)
        assert ledger.settle(call.call_id, USAGE, BODY) == first
        with refused(money.LedgerError):
            ledger.settle(call.call_id, Usage(41, 0, 20), BODY)
        with refused(money.LedgerError):
            ledger.settle(call.call_id, USAGE, b"another answer")
        assert ledger.run_meter("run-1").spent_nano_usd == COST
        assert money.audit(ledger) == []


@scenario
def answer_and_money_are_booked_together_or_not_at_all(money: ModuleType, folder: Path) -> None:
    with opened(money, folder) as ledger, raw(folder) as other:
        call = ledger.claim(request(money, "a"))
        ledger.sent(call.call_id)
        other.execute("CREATE TRIGGER full BEFORE INSERT ON answers BEGIN SELECT raise(ABORT, 'disk full'); END")
        with refused(StorageError):
            ledger.settle(call.call_id, USAGE, BODY)
        meter = ledger.run_meter("run-1")
        assert (meter.spent_nano_usd, meter.held_nano_usd, meter.num_open) == (0, WORST, 1)
        other.execute("DROP TRIGGER full")
        ledger.settle(call.call_id, USAGE, BODY)
        assert ledger.answer(request(money, "a").key) == BODY
        assert money.audit(ledger) == []


@scenario
def a_crash_before_sending_frees_and_after_sending_holds(money: ModuleType, folder: Path) -> None:
    ledger = opened(money, folder)
    ledger.claim(request(money, "never sent"))
    sent = ledger.claim(request(money, "sent"))
    ledger.sent(sent.call_id)
    crash(money, ledger)
    with opened(money, folder, cap=None) as ledger:
        assert (ledger.recovered.num_released, ledger.recovered.num_uncertain) == (1, 1)
        meter = ledger.run_meter("run-1")
        assert (meter.held_nano_usd, meter.possibly_paid_nano_usd, meter.num_uncertain) == (WORST, WORST, 1)
        assert meter.spent_nano_usd == 0
        assert ledger.recover() == money.Recovered(0, 0)
        assert money.audit(ledger) == []


@scenario
def recovery_leaves_the_living_alone(money: ModuleType, folder: Path) -> None:
    with opened(money, folder) as ledger:
        call = ledger.claim(request(money, "a"))
        ledger.sent(call.call_id)
        with opened(money, folder, cap=None) as other:
            assert other.recovered == money.Recovered(0, 0)
        ledger.settle(call.call_id, USAGE, BODY)


@scenario
def waiting_for_the_dead_ends(money: ModuleType, folder: Path) -> None:
    with opened(money, folder) as ledger:
        lost = opened(money, folder, cap=None)
        lost.claim(request(money, "a"))
        crash(money, lost)
        assert type(ledger.claim(request(money, "a"), wait_s=0.5)).__name__ == "Reservation"


@scenario
def waiting_for_the_living_has_a_limit(money: ModuleType, folder: Path) -> None:
    with opened(money, folder) as ledger:
        ledger.claim(request(money, "a"))
        outcome: list[str] = []

        def ask() -> None:
            try:
                ledger.claim(request(money, "a"), wait_s=0.0)
            except OPDError as error:
                outcome.append(type(error).__name__)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(2)
        assert outcome == ["TeacherError"]


@scenario
def an_uncertain_call_counts_in_full_until_it_is_proven(money: ModuleType, folder: Path) -> None:
    with opened(money, folder, cap=2 * WORST - 1) as ledger:
        call = ledger.claim(request(money, "a"))
        ledger.sent(call.call_id)
        ledger.uncertain(call.call_id, "timeout")
        with refused(BudgetReachedError):
            ledger.claim(request(money, "b"))
        ledger.settle(call.call_id, USAGE, BODY, note="found in the provider's usage report")
        ledger.claim(request(money, "b"))
        assert ledger.run_meter("run-1").spent_nano_usd == COST
        assert money.audit(ledger) == []


@scenario
def an_uncertain_call_may_be_repeated_and_both_count(money: ModuleType, folder: Path) -> None:
    with opened(money, folder) as ledger:
        first = ledger.claim(request(money, "a"))
        ledger.sent(first.call_id)
        ledger.uncertain(first.call_id, "timeout")
        pay(ledger, request(money, "a"), body=b"second")
        meter = ledger.run_meter("run-1")
        assert (meter.spent_nano_usd, meter.held_nano_usd) == (COST, WORST)
        ledger.settle(first.call_id, USAGE, b"first, late")
        assert ledger.answer(request(money, "a").key) == b"second"
        assert ledger.run_meter("run-1").spent_nano_usd == 2 * COST
        assert money.audit(ledger) == []


@scenario
def strict_mode_never_repeats_an_uncertain_call(money: ModuleType, folder: Path) -> None:
    with opened(money, folder, strict=True) as ledger:
        call = ledger.claim(request(money, "a"))
        ledger.sent(call.call_id)
        ledger.uncertain(call.call_id, "timeout")
        with refused(TeacherError):
            ledger.claim(request(money, "a"))


@scenario
def writing_off_counts_the_worst_case(money: ModuleType, folder: Path) -> None:
    with opened(money, folder) as ledger:
        call = ledger.claim(request(money, "a"))
        ledger.sent(call.call_id)
        ledger.uncertain(call.call_id, "timeout")
        ledger.write_off(call.call_id, "no answer from the provider")
        meter = ledger.run_meter("run-1")
        assert (meter.spent_nano_usd, meter.held_nano_usd, meter.num_uncertain) == (WORST, 0, 0)
        assert money.audit(ledger) == []


@scenario
def a_released_call_costs_nothing(money: ModuleType, folder: Path) -> None:
    with opened(money, folder, cap=WORST) as ledger:
        call = ledger.claim(request(money, "a"))
        ledger.sent(call.call_id)
        ledger.release(call.call_id, "429")
        meter = ledger.run_meter("run-1")
        assert (meter.spent_nano_usd, meter.held_nano_usd) == (0, 0)
        ledger.claim(request(money, "a"))
        assert money.audit(ledger) == []
