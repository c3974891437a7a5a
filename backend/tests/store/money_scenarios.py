"""Short stories about the ledger, each of which one guard must keep true.

A scenario takes the `money` package (the real one, or a mutant with a guard removed) and an empty folder.
`test_money.py` runs them all on the real package, and checks for each mutant that its scenario fails.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from opd.errors import BudgetReachedError, ConfigError, OPDError, StorageError, TeacherError
from opd.pricing import Rates, Usage, typed_price

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


@scenario
def a_paid_call_and_its_hit(money: ModuleType, folder: Path) -> None:
    with opened(money, folder) as ledger:
        call = ledger.claim(request(money, "a"))
        assert (call.worst_nano_usd, ledger.run_meter("run-1").held_nano_usd) == (WORST, WORST)
        ledger.sent(call.call_id)
        settled = ledger.settle(call.call_id, USAGE, BODY)
        assert (settled.cost_nano_usd, settled.overrun_nano_usd) == (COST, 0)
        again = ledger.claim(request(money, "a"))
        assert (type(again).__name__, again.body, again.saved_nano_usd) == ("Hit", BODY, COST)
        meter = ledger.run_meter("run-1")
        assert (meter.spent_nano_usd, meter.held_nano_usd, meter.saved_nano_usd) == (COST, 0, COST)
        assert ledger.month_meter().spent_nano_usd == COST
        assert money.audit(ledger) == []


@scenario
def a_run_without_a_cap_may_spend_nothing(money: ModuleType, folder: Path) -> None:
    with opened(money, folder, cap=None) as ledger, refused(BudgetReachedError):
        ledger.claim(request(money, "a"))


@scenario
def the_cap_holds_to_the_nano_dollar(money: ModuleType, folder: Path) -> None:
    with opened(money, folder, cap=2 * WORST) as ledger:
        ledger.claim(request(money, "a"))
        second = ledger.claim(request(money, "b"))
        with refused(BudgetReachedError):
            ledger.claim(request(money, "c", tokens=1))
        ledger.sent(second.call_id)
        ledger.settle(second.call_id, USAGE, BODY)
        room = WORST - COST
        with refused(BudgetReachedError):
            ledger.claim(request(money, "d", tokens=room // 11_000 + 1))
        ledger.claim(request(money, "d", tokens=room // 11_000))
        assert money.audit(ledger) == []


@scenario
def what_is_spent_counts_and_not_only_what_is_held(money: ModuleType, folder: Path) -> None:
    with opened(money, folder, cap=WORST + COST - 1) as ledger:
        pay(ledger, request(money, "a"))
        with refused(BudgetReachedError):
            ledger.claim(request(money, "b"))


@scenario
def the_month_is_capped_across_runs(money: ModuleType, folder: Path) -> None:
    with opened(money, folder) as ledger:
        ledger.set_run_cap("run-2", 10 * WORST)
        ledger.set_month_cap(2 * WORST - 1)
        ledger.claim(request(money, "a"))
        with refused(BudgetReachedError):
            ledger.claim(request(money, "b", run="run-2"))
        ledger.set_month_cap(None)
        ledger.claim(request(money, "b", run="run-2"))
        assert money.audit(ledger) == []


@scenario
def the_month_cap_lasts(money: ModuleType, folder: Path) -> None:
    with opened(money, folder) as ledger:
        ledger.set_month_cap(WORST - 1)
        with raw(folder) as other:
            other.execute("DELETE FROM budgets WHERE scope LIKE 'month:%'")  # a new month has no row yet
        with refused(BudgetReachedError):
            ledger.claim(request(money, "a"))


@scenario
def a_cap_may_rise_and_not_sink_below_what_is_owed(money: ModuleType, folder: Path) -> None:
    with opened(money, folder, cap=WORST) as ledger:
        ledger.claim(request(money, "a"))
        with refused(money.LedgerError):
            ledger.set_run_cap("run-1", WORST - 1)
        with refused(money.LedgerError):
            ledger.set_month_cap(WORST - 1)
        ledger.set_run_cap("run-1", 2 * WORST)
        ledger.claim(request(money, "b"))


@scenario
def caps_are_whole_nano_dollars(money: ModuleType, folder: Path) -> None:
    with opened(money, folder) as ledger:
        for amount in (0.05, -1, True, "5"):
            with refused(money.LedgerError):
                ledger.set_run_cap("run-1", amount)
            with refused(money.LedgerError):
                ledger.set_month_cap(amount)


@scenario
def one_open_call_per_key(money: ModuleType, folder: Path) -> None:
    with opened(money, folder) as ledger:
        first = ledger.reserve(request(money, "a"))
        second = ledger.reserve(request(money, "a"))
        assert (type(second).__name__, second.call_id) == ("InFlight", first.call_id)
        ledger.sent(first.call_id)
        assert type(ledger.reserve(request(money, "a"))).__name__ == "InFlight"
        ledger.settle(first.call_id, USAGE, BODY)
        assert type(ledger.reserve(request(money, "a"))).__name__ == "Hit"


@scenario
def the_database_itself_refuses_a_second_open_call(money: ModuleType, folder: Path) -> None:
    with opened(money, folder) as ledger, raw(folder) as other:
        ledger.reserve(request(money, "a"))
        try:
            other.execute(
                "INSERT INTO calls SELECT id + 1, key, run_id, stage, teacher, month, owner, price_id, batch, state, "
                "worst, held, spent, basis, NULL, NULL, NULL, NULL, NULL, time FROM calls"
            )
        except sqlite3.IntegrityError:
            return
        raise AssertionError("two open calls for one key")


@scenario
def the_database_itself_holds_the_cap(money: ModuleType, folder: Path) -> None:
    with opened(money, folder, cap=WORST), raw(folder) as other:
        try:
            other.execute("UPDATE budgets SET spent = cap + 1 WHERE scope = 'run:run-1'")
        except sqlite3.IntegrityError:
            return
        raise AssertionError("more spent than allowed")


@scenario
def the_database_itself_ties_money_to_the_state(money: ModuleType, folder: Path) -> None:
    with opened(money, folder) as ledger, raw(folder) as other:
        ledger.reserve(request(money, "a"))
        for statement in (
            "UPDATE calls SET held = 0",
            "UPDATE calls SET spent = 1",
            "UPDATE calls SET state = 'SETTLED'",
            "UPDATE calls SET state = 'SETTLED', held = 0",
            "UPDATE calls SET state = 'WRITTEN_OFF', held = 0",
            "UPDATE calls SET state = 'PAID'",
        ):
            try:
                other.execute(statement)
            except sqlite3.IntegrityError:
                continue
            raise AssertionError(f"{statement} was accepted")


@scenario
def the_journal_is_final(money: ModuleType, folder: Path) -> None:
    with opened(money, folder) as ledger, raw(folder) as other:
        pay(ledger, request(money, "a"))
        for statement in ("UPDATE journal SET spent = 0", "DELETE FROM journal"):
            try:
                other.execute(statement)
            except sqlite3.IntegrityError:
                continue
            raise AssertionError(f"{statement} was accepted")


@scenario
def many_threads_pay_once(money: ModuleType, folder: Path) -> None:
    with opened(money, folder) as ledger:
        outcomes: list[str] = []

        def ask() -> None:
            call = ledger.claim(request(money, "a"), wait_s=30)
            if type(call).__name__ == "Reservation":
                ledger.sent(call.call_id)
                ledger.settle(call.call_id, USAGE, BODY)
            outcomes.append(type(call).__name__)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["Hit"] * 7 + ["Reservation"]
        assert ledger.run_meter("run-1").spent_nano_usd == COST


@scenario
def one_refusal_does_not_undo_the_work_beside_it(money: ModuleType, folder: Path) -> None:
    with opened(money, folder, cap=5 * WORST) as ledger:
        outcomes: list[object] = []

        def ask(number: int) -> None:
            try:
                outcomes.append(ledger.reserve(request(money, f"question {number}")).call_id)
            except BudgetReachedError:
                outcomes.append(None)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes.count(None) == 11
        assert len(set(outcomes)) == 6
        assert ledger.run_meter("run-1").held_nano_usd == 5 * WORST
        assert money.audit(ledger) == []


@scenario
def a_broken_constraint_does_not_undo_the_work_beside_it(money: ModuleType, folder: Path) -> None:
    with opened(money, folder) as ledger, raw(folder) as other:
        call = ledger.claim(request(money, "a"))
        ledger.sent(call.call_id)
        other.execute("CREATE TRIGGER full BEFORE INSERT ON answers BEGIN SELECT raise(ABORT, 'no'); END")
        outcome: dict[str, str] = {}

        def book(name: str, work: Callable[[], object]) -> None:
            try:
                outcome[name] = type(work()).__name__
            except OPDError as error:
                outcome[name] = type(error).__name__

        database = ledger.database
        with database._turn:  # both wait, so that they share a transaction
            threads = [
                threading.Thread(target=book, args=("settle", lambda: ledger.settle(call.call_id, USAGE, BODY))),
                threading.Thread(target=book, args=("reserve", lambda: ledger.reserve(request(money, "b")))),
            ]
            for thread in threads:
                thread.start()
            while len(database._queue) < 2:
                time.sleep(0)
        for thread in threads:
            thread.join()
        assert outcome == {"settle": "StorageError", "reserve": "Reservation"}
        other.execute("DROP TRIGGER full")
        assert money.audit(ledger) == []


@scenario
def a_reservation_is_on_disk_before_it_is_given(money: ModuleType, folder: Path) -> None:
    with opened(money, folder) as ledger, raw(folder) as other:
        call = ledger.reserve(request(money, "a"))
        states = "SELECT state FROM calls WHERE id = ?"
        assert other.execute(states, (call.call_id,)).fetchone() == ("RESERVED",)
        ledger.sent(call.call_id)
        assert other.execute(states, (call.call_id,)).fetchone() == ("SENT",)
        assert ledger.database._connection.execute("PRAGMA synchronous").fetchone()[0] == 2
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@scenario
def room_is_judged_by_what_is_true_at_the_commit(money: ModuleType, folder: Path) -> None:
    with opened(money, folder, cap=2 * WORST) as ledger, raw(folder) as other:
        ledger.reserve(request(money, "a"))
        other.execute("BEGIN IMMEDIATE")
        outcome: list[str] = []

        def ask() -> None:
            try:
                outcome.append(type(ledger.reserve(request(money, "b"))).__name__)
            except OPDError as error:
                outcome.append(type(error).__name__)

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(0.1)  # either it waits for the other writer, or it has read what will be stale
        other.execute("UPDATE budgets SET cap = ? WHERE scope = 'run:run-1'", (2 * WORST - 1,))
        other.execute("COMMIT")
        thread.join()
        assert outcome == ["BudgetReachedError"]


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


@scenario
def usage_above_the_reservation_is_booked_as_it_is(money: ModuleType, folder: Path) -> None:
    with opened(money, folder, cap=WORST) as ledger:
        settled = pay(ledger, request(money, "a"), Usage(input_tokens=200, output_tokens=100))
        assert settled.cost_nano_usd == 200 * 1_000 + 100 * 10_000
        assert settled.overrun_nano_usd == settled.cost_nano_usd - WORST > 0
        meter = ledger.run_meter("run-1")
        assert meter.spent_nano_usd == settled.cost_nano_usd > meter.cap_nano_usd
        with refused(BudgetReachedError):
            ledger.claim(request(money, "b", tokens=1))
        assert money.audit(ledger) == []


@scenario
def usage_that_is_missing_costs_the_worst_case(money: ModuleType, folder: Path) -> None:
    with opened(money, folder) as ledger:
        assert pay(ledger, request(money, "a"), None).cost_nano_usd == WORST
        assert ledger.run_meter("run-1").spent_nano_usd == WORST
        assert ledger.answer(request(money, "a").key) == BODY
        assert money.audit(ledger) == []


@scenario
def a_damaged_answer_is_an_error_and_not_paid_again(money: ModuleType, folder: Path) -> None:
    with opened(money, folder) as ledger, raw(folder) as other:
        pay(ledger, request(money, "a"))
        import zlib

        for body in (b"noise", zlib.compress(b'{"answer": "Copper is long."}')):
            other.execute("UPDATE answers SET body = ?", (body,))
            with refused(money.LedgerError):
                ledger.claim(request(money, "a"))
        assert ledger.run_meter("run-1").num_open == 0


@scenario
def history_keeps_its_price(money: ModuleType, folder: Path) -> None:
    with opened(money, folder) as ledger, raw(folder) as other:
        pay(ledger, request(money, "a"))
        twice = Rates(0, *(2 * getattr(PRICE.base, kind) for kind in Rates.__slots__[1:]))
        dearer = replace(PRICE, tiers=(twice,))  # under the same name: the data was corrected
        key = money.request_key({"messages": ["b"]})
        pay(ledger, money.CallRequest(key, "run-1", "answers", "sim/teacher", dearer, 100, 100))
        ids = [price_id for (price_id,) in other.execute("SELECT price_id FROM calls ORDER BY id")]
        assert len(set(ids)) == 2
        assert all(PRICE.price_id.split()[0] in price_id and "#" in price_id for price_id in ids)
        pay(ledger, request(money, "c"))
        assert ledger.run_meter("run-1").spent_nano_usd == (1 + 2 + 1) * COST
        assert money.audit(ledger) == []


@scenario
def the_audit_sees_a_wrong_figure(money: ModuleType, folder: Path) -> None:
    wrong = {
        "UPDATE calls SET spent = spent + 1 WHERE state = 'SETTLED'": "tokens cost",
        "UPDATE budgets SET spent = spent + 1 WHERE scope LIKE 'run:%'": "totals",
        "UPDATE calls SET state = 'RELEASED', held = 0 WHERE state = 'RESERVED'": "the journal says",
        "DELETE FROM answers": "answers are lost",
        "UPDATE answers SET call_id = (SELECT id FROM calls WHERE state = 'RESERVED')": "belongs to a call",
    }
    for number, (statement, expected) in enumerate(wrong.items()):
        place = folder / str(number)
        with opened(money, place) as ledger, raw(place) as other:
            pay(ledger, request(money, "a"))
            ledger.claim(request(money, "b"))
            assert money.audit(ledger) == []
            other.execute(statement)
            assert any(expected in found for found in money.audit(ledger)), statement


@scenario
def costs_add_up_by_run_teacher_and_stage(money: ModuleType, folder: Path) -> None:
    with opened(money, folder) as ledger:
        ledger.set_run_cap("run-2", 10 * WORST)
        pay(ledger, request(money, "a"))
        pay(ledger, request(money, "b", stage="marking"))
        ledger.claim(request(money, "a", run="run-2"))
        lost = ledger.claim(request(money, "c", run="run-2"))
        ledger.sent(lost.call_id)
        ledger.uncertain(lost.call_id, "timeout")
        rows = {(row.run_id, row.stage): row for row in money.costs(ledger)}
        assert set(rows) == {("run-1", "answers"), ("run-1", "marking"), ("run-2", "answers")}
        second = rows["run-2", "answers"]
        assert (second.num_calls, second.num_uncertain, second.num_hits) == (0, 1, 1)
        assert (second.spent_nano_usd, second.held_nano_usd, second.saved_nano_usd) == (0, WORST, COST)
        first = rows["run-1", "answers"]
        assert (first.input_tokens, first.output_tokens, first.spent_nano_usd) == (40, 20, COST)
        assert [row.run_id for row in money.costs(ledger, run_id="run-2")] == ["run-2"]
        assert money.costs(ledger, month="1999-01") == []
        month = ledger.month_meter()
        assert sum(row.spent_nano_usd for row in rows.values()) == month.spent_nano_usd
        assert sum(row.saved_nano_usd for row in rows.values()) == month.saved_nano_usd
        table = money.costs_csv(list(rows.values())).splitlines()
        assert table[0].startswith("run_id,teacher,stage,")
        assert table[1].endswith("0.000240000,0.000000000,0.000000000")


@scenario
def keys_are_stable_and_hold_no_secrets(money: ModuleType, folder: Path) -> None:
    one = money.request_key({"model": "m", "messages": [{"role": "user", "content": "é"}]})
    assert one == money.request_key({"messages": [{"content": "é", "role": "user"}], "model": "m"})
    text = '{"request":{"messages":[{"content":"é","role":"user"}],"model":"m"},"sample":0,"schema":1}'
    assert one == hashlib.sha256(text.encode()).hexdigest()
    assert one != money.request_key({"model": "m", "messages": [{"role": "user", "content": "é"}]}, sample=1)
    for wrong in ({"headers": [{"Authorization": "x"}]}, {"api_key": "x"}, {"x": float("nan")}, {"x": b"bytes"}):
        with refused(ConfigError):
            money.request_key(wrong)


@scenario
def a_file_that_is_no_ledger_is_left_alone(money: ModuleType, folder: Path) -> None:
    path = folder / "money.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE mine (x)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with refused(StorageError):
        money.Ledger(path)
    assert path.read_bytes() == before
    path.write_bytes(b"not a database at all" * 100)
    with refused(StorageError):
        money.Ledger(path)
    assert path.read_bytes() == b"not a database at all" * 100


@scenario
def a_damaged_ledger_is_named_and_kept(money: ModuleType, folder: Path) -> None:
    with opened(money, folder) as ledger:
        for name in range(40):
            pay(ledger, request(money, str(name), tokens=1), Usage(1, 0, 0), os.urandom(3000))
        ledger.database._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (root,) = ledger.database._connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'answers'"
        ).fetchone()
    path = folder / "money.db"
    data = bytearray(path.read_bytes())
    data[(root - 1) * 4096 : (root - 1) * 4096 + 8] = b"\xff" * 8  # no booking of today would touch this page
    path.write_bytes(data)
    with refused(StorageError):
        money.Ledger(path)
    assert path.read_bytes() == bytes(data)


@scenario
def a_forked_child_may_not_use_its_parents_ledger(money: ModuleType, folder: Path) -> None:
    if not hasattr(os, "fork"):
        return
    with opened(money, folder) as ledger:
        child = os.fork()
        if child == 0:
            code = 9
            try:
                with refused(StorageError):
                    ledger.reserve(request(money, "a"))
                code = 7
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
