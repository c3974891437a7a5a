"""Checks that the ledger's figures are true, from the rows alone.

In: a ledger. Out: a list of sentences, one per violated invariant; empty when all is well. Recomputes everything that
is kept as a total, and every settled cost from its raw token counts and its price.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from opd.pricing import Usage, price
from opd.store.money.bookings import MONTH_POLICY, read_answer
from opd.store.money.ledger import Ledger
from opd.store.money.prices import price_from_json

_NEXT = {
    "": ("RESERVED",),
    "RESERVED": ("SENT", "RELEASED"),
    "SENT": ("SETTLED", "RELEASED", "UNCERTAIN"),
    "UNCERTAIN": ("SETTLED", "WRITTEN_OFF"),
}


def audit(ledger: Ledger) -> list[str]:
    """Every violated invariant, in words.

    Raises:
        LedgerError: a kept answer is damaged.
    """
    return ledger.database.read(lambda db: list(_violations(db)))


def _violations(db: sqlite3.Connection) -> Iterator[str]:
    yield from _check_budgets(db)
    yield from _check_journal(db)
    yield from _check_histories(db)
    yield from _check_costs(db)
    yield from _check_answers(db)


def _check_budgets(db: sqlite3.Connection) -> Iterator[str]:
    sums = """
        SELECT sum(held), sum(spent), sum(CASE WHEN state = 'SETTLED' THEN max(0, spent - worst) ELSE 0 END)
        FROM calls WHERE 'run:' || run_id = :scope OR 'month:' || month = :scope"""
    for budget in db.execute("SELECT * FROM budgets WHERE scope != ?", (MONTH_POLICY,)).fetchall():
        scope = budget["scope"]
        held, spent, overrun = (value or 0 for value in db.execute(sums, {"scope": scope}).fetchone())
        if (held, spent, overrun) != (budget["held"], budget["spent"], budget["overrun"]):
            yield f"{scope}: totals {tuple(budget)[2:]} differ from the calls' {(held, spent, overrun)}"
        if budget["cap"] is not None and held + spent > budget["cap"] + overrun:
            yield f"{scope}: {held} held and {spent} spent exceed the cap of {budget['cap']}"
    lost = db.execute(
        "SELECT count(*) FROM calls WHERE 'run:' || run_id NOT IN (SELECT scope FROM budgets) "
        "OR 'month:' || month NOT IN (SELECT scope FROM budgets)"
    ).fetchone()[0]
    if lost:
        yield f"{lost} calls belong to no budget"


def _check_journal(db: sqlite3.Connection) -> Iterator[str]:
    journal = db.execute("SELECT total(held), total(spent), total(saved) FROM journal").fetchone()
    calls = db.execute("SELECT total(held), total(spent) FROM calls").fetchone()
    saved = db.execute("SELECT total(saved) FROM budgets WHERE scope LIKE 'run:%'").fetchone()
    if tuple(journal) != (*calls, *saved):
        yield f"the journal sums to {tuple(journal)}, the rows to {(*calls, *saved)}"


def _check_histories(db: sqlite3.Connection) -> Iterator[str]:
    last: dict[int, str] = {}
    steps = db.execute("SELECT call_id, kind FROM journal WHERE kind NOT IN ('HIT', 'BUDGET') ORDER BY seq")
    for call_id, kind in steps:
        if kind not in _NEXT.get(last.get(call_id, ""), ()):
            yield f"call {call_id} went from {last.get(call_id) or 'nothing'} to {kind}"
        last[call_id] = kind
    for call_id, state in db.execute("SELECT id, state FROM calls"):
        if last.get(call_id) != state:
            yield f"call {call_id} is {state}, the journal says {last.get(call_id)}"
    doubles = db.execute(
        "SELECT key, count(*) FROM calls WHERE state IN ('RESERVED', 'SENT') GROUP BY key HAVING count(*) > 1"
    )
    for key, count in doubles:
        yield f"{count} calls are open for {key[:12]}"


def _check_costs(db: sqlite3.Connection) -> Iterator[str]:
    prices = {row["id"]: price_from_json(row["id"], row["rates"]) for row in db.execute("SELECT * FROM prices")}
    for row in db.execute("SELECT * FROM calls"):
        if row["price_id"] not in prices:
            yield f"call {row['id']} has no price"
            continue
        if row["state"] != "SETTLED":
            continue
        expected = row["worst"]
        if row["basis"] == "usage":
            usage = Usage(
                row["input_tokens"], row["cached_input_tokens"], row["output_tokens"], row["reasoning_tokens"],
                row["cache_write_tokens"],
            )  # fmt: skip
            expected = price(usage, prices[row["price_id"]], batch=bool(row["batch"]))
        if row["spent"] != expected:
            yield f"call {row['id']} is booked at {row['spent']}, its tokens cost {expected}"


def _check_answers(db: sqlite3.Connection) -> Iterator[str]:
    for row in db.execute(
        "SELECT answers.key, state, calls.key AS own FROM answers JOIN calls ON id = call_id"
    ).fetchall():
        if (row["state"], row["own"]) != ("SETTLED", row["key"]):
            yield f"the answer {row['key'][:12]} belongs to a call that is {row['state']}"
        read_answer(db, row["key"])
    unanswered = "SELECT count(*) FROM calls WHERE state = 'SETTLED' AND key NOT IN (SELECT key FROM answers)"
    if lost := db.execute(unanswered).fetchone()[0]:
        yield f"{lost} calls are paid and their answers are lost"
