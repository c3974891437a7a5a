"""Many callers at once: one open call a key, nobody undoes the work of another, the database has the last word."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from opd.errors import BudgetReachedError, OPDError
from tests.store.money_scenarios.telling import (
    BODY,
    COST,
    USAGE,
    WORST,
    opened,
    pay,
    raw,
    request,
    scenario,
)


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
