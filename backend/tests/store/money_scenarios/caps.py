"""What a run and a month may spend: to the nano-dollar, and in both places where it is held."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from opd.errors import BudgetReachedError
from tests.store.money_scenarios.telling import (
    BODY,
    COST,
    USAGE,
    WORST,
    opened,
    pay,
    raw,
    refused,
    request,
    scenario,
)


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
