"""What is counted, kept and shown: overruns, missing usage, prices of the day, damage."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from opd.errors import BudgetReachedError, ConfigError, StorageError
from opd.pricing import Rates, Usage
from tests.store.money_scenarios.telling import (
    BODY,
    COST,
    PRICE,
    WORST,
    opened,
    pay,
    raw,
    refused,
    request,
    scenario,
)


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
