"""A run's money is only at its end when no call of the run may still give some back."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

from opd.errors import BudgetReachedError
from opd.pricing import Usage, typed_price
from opd.store.money import CallRequest, Hit, Ledger, Reservation, request_key
from opd.teachers.chat import Purse

PRICE = typed_price("sim/teacher", 1, 10, on=date(2026, 11, 1))
FIRST, SECOND = (request_key({"messages": [name]}) for name in ("first", "second"))


def request(key: str) -> CallRequest:
    return CallRequest(key, "run", "answers", "sim/teacher", PRICE, max_input_tokens=100, max_output_tokens=100)


class HesitantLedger(Ledger):
    """Holds the money of the first call, and is slow to say so."""

    def __init__(self, path: Path):
        super().__init__(path)
        self.is_held, self.was_refused, self.may_say = (threading.Event() for _ in range(3))

    def claim(self, request: CallRequest, **options: Any) -> Hit | Reservation:
        try:
            found = super().claim(request, **options)
        except BudgetReachedError:
            self.was_refused.set()
            raise
        if request.key == FIRST:
            self.is_held.set()
            assert self.may_say.wait(60)
        return found


def test_money_that_is_held_for_a_call_which_has_just_begun_is_waited_for(tmp_path: Path) -> None:
    with HesitantLedger(tmp_path / "money.db") as ledger, ThreadPoolExecutor() as pool:
        purse = Purse(ledger, "run")
        worst_nano_usd = request(FIRST).worst_nano_usd
        ledger.set_run_cap("run", worst_nano_usd + worst_nano_usd // 2)

        def pay(key: str) -> None:
            with purse.call(request(key)) as found:
                assert isinstance(found, Reservation)
                ledger.sent(found.call_id)
                ledger.settle(found.call_id, Usage(input_tokens=40, output_tokens=20), b"{}")

        first = pool.submit(pay, FIRST)
        assert ledger.is_held.wait(60)
        second = pool.submit(pay, SECOND)
        assert ledger.was_refused.wait(60)
        ledger.may_say.set()
        first.result(60)
        second.result(60)
        assert purse.meter().held_nano_usd == 0
