"""What a run will have cost, told while it is paid: from its plan first, from what was really paid then."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from opd.estimate.projection import Projection, StageAhead
from opd.pricing import Usage, typed_price
from opd.store.money import CallRequest, Ledger, Reservation, StagePaid, paid_by_stage, request_key

PRICE = typed_price("local/tiny", 1, 1)
NUMBERS = itertools.count()
PER_CALL = 2_000


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "money.db") as found:
        found.set_run_cap("r", 10**9)
        yield found


def pay(ledger: Ledger, stage: str, *, fate: str = "settled") -> None:
    request = CallRequest(request_key({"n": next(NUMBERS)}), "r", stage, "t", PRICE, 10, 10)
    held = ledger.claim(request)
    assert isinstance(held, Reservation)
    ledger.sent(held.call_id)
    if fate == "settled":
        ledger.settle(held.call_id, Usage(1, 0, 1), b"x")
    else:
        ledger.uncertain(held.call_id, "lost")


def projected(projection: Projection, ledger: Ledger) -> int:
    found = projection.nano_usd(ledger.run_meter("r"))
    assert found is not None
    return found


def test_the_plan_stands_until_enough_was_paid_and_then_real_costs_do(ledger: Ledger) -> None:
    projection = Projection({"answers": StageAhead(10, 90_000)}, {}, ledger, "r")
    assert projected(projection, ledger) == 90_000
    pay(ledger, "answers")
    assert projected(projection, ledger) == PER_CALL + 9 * 9_000
    for _ in range(2):
        pay(ledger, "answers")
    assert projected(projection, ledger) == 10 * PER_CALL, "three were paid: the others are like them"
    for _ in range(9):
        pay(ledger, "answers")
    assert projected(projection, ledger) == 12 * PER_CALL, "more than was planned is what it is"


def test_a_lost_call_counts_in_full_beside_the_rest(ledger: Ledger) -> None:
    projection = Projection({"answers": StageAhead(4, 8_000)}, {}, ledger, "r")
    pay(ledger, "answers", fate="lost")
    assert projected(projection, ledger) == 20_000 + 8_000


def test_what_was_paid_before_this_process_is_not_still_to_come(ledger: Ledger) -> None:
    for _ in range(4):
        pay(ledger, "marking")
    before = paid_by_stage(ledger, "r")
    assert before == {"marking": StagePaid(4, 4 * PER_CALL)}
    projection = Projection({"marking": StageAhead(2, 99)}, before, ledger, "r")
    assert projected(projection, ledger) == 6 * PER_CALL
    pay(ledger, "marking")
    assert projected(projection, ledger) == 6 * PER_CALL
