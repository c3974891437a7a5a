"""The rules of the ledger, each as one function on an open transaction.

In: a connection inside a transaction, and what is to be booked. Out: the changed rows and their journal lines. The
caller commits. Every function that moves money writes the call's row, both budgets and the journal together.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
import zlib
from datetime import UTC, datetime

from opd.errors import BudgetReachedError, TeacherError
from opd.pricing import Usage, price
from opd.store.money.prices import keep_price, price_of
from opd.store.money.records import CallRequest, Hit, InFlight, LedgerError, Reservation, Settled, State

MONTH_POLICY = "month"
MAX_NOTE = 200

_USAGE_COLUMNS = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")


def run_scope(run_id: str) -> str:
    """Name of a run's budget."""
    return f"run:{run_id}"


def this_month() -> str:
    """The current month in UTC, as in `2026-11`."""
    return datetime.now(UTC).strftime("%Y-%m")


# --- budgets ----------------------------------------------------------------------------------------


def set_cap(db: sqlite3.Connection, scope: str, cap: int | None) -> None:
    """Set or change a cap; never below what is spent and held."""
    db.execute("INSERT OR IGNORE INTO budgets(scope, cap) VALUES (?, 0)", (scope,))
    row = db.execute("SELECT held + spent FROM budgets WHERE scope = ?", (scope,)).fetchone()
    if cap is not None and cap < row[0]:
        raise LedgerError(
            f"A cap of {cap} nano-dollars is below the {row[0]} that are spent and held.",
            hint="Choose a higher cap; money that may be owed cannot be taken back.",
        )
    db.execute("UPDATE budgets SET cap = ? WHERE scope = ?", (cap, scope))
    _write_journal(db, "BUDGET", None, ("", "", ""), note=f"{scope} capped at {cap}")


def set_month_cap(db: sqlite3.Connection, cap: int | None) -> None:
    """Set the cap of this and later months; None is no cap."""
    set_cap(db, MONTH_POLICY, cap)
    set_cap(db, f"month:{this_month()}", cap)


def _known_run_scope(db: sqlite3.Connection, run_id: str) -> str:
    """A run's budget; one that was never given a cap may spend nothing."""
    db.execute("INSERT OR IGNORE INTO budgets(scope, cap) VALUES (?, 0)", (run_scope(run_id),))
    return run_scope(run_id)


def _month_scope(db: sqlite3.Connection, month: str) -> str:
    """This month's budget, made with the standing cap when it is the month's first."""
    policy = db.execute("SELECT cap FROM budgets WHERE scope = ?", (MONTH_POLICY,)).fetchone()
    scope = f"month:{month}"
    db.execute("INSERT OR IGNORE INTO budgets(scope, cap) VALUES (?, ?)", (scope, policy["cap"] if policy else None))
    return scope


def _require_room(db: sqlite3.Connection, scope: str, worst: int, *, in_tokens: bool) -> None:
    cap, held, spent = db.execute("SELECT cap, held, spent FROM budgets WHERE scope = ?", (scope,)).fetchone()
    if cap is not None and spent + held + worst > cap:
        whose = f"budget of {scope.removeprefix('month:')}" if scope.startswith("month:") else "run's spend cap"
        digits = 4 if cap >= 10_000_000 else 6  # a cent

        def said(amount: int) -> str:
            return f"{amount:,}" if in_tokens else f"${amount / 1e9:.{digits}f}"

        under_way = f", {said(held)} held for calls under way" if held else ""
        unit = " tokens" if in_tokens else ""
        raise BudgetReachedError(
            f"The {whose} is reached: {said(spent)} of {said(cap)}{unit} spent{under_way}, and the next call may "
            f"cost up to {said(worst)}.",
            hint="Raise the cap and resume; nothing that was paid is asked for again.",
            details={"scope": scope, "cap_nano_usd": cap, "spent_nano_usd": spent, "held_nano_usd": held,
                     "next_nano_usd": worst},
        )  # fmt: skip


# --- reserving --------------------------------------------------------------------------------------


def reserve(db: sqlite3.Connection, request: CallRequest, owner: str, *, strict: bool) -> Hit | Reservation | InFlight:
    """Give the answer, or point at who is asking for it, or hold the worst case for asking."""
    answer = read_answer(db, request.key)
    if answer is not None:
        return _hit(db, request, *answer)
    busy = db.execute(
        "SELECT id, owner FROM calls WHERE key = ? AND state IN ('RESERVED', 'SENT')", (request.key,)
    ).fetchone()
    if busy:
        return InFlight(busy["id"], busy["owner"])
    if strict:
        _refuse_uncertain(db, request.key)
    worst, month = request.worst_nano_usd, this_month()
    scopes = (_known_run_scope(db, request.run_id), _month_scope(db, month))
    for scope in scopes:
        _require_room(db, scope, worst, in_tokens=request.price.counts_tokens)
    call_id = db.execute(
        "INSERT INTO calls(key, run_id, stage, teacher, month, owner, price_id, batch, state, worst, held, spent, time)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'RESERVED', ?, ?, 0, ?) RETURNING id",
        (request.key, request.run_id, request.stage, request.teacher, month, owner, keep_price(db, request.price),
         request.batch, worst, worst, time.time()),
    ).fetchone()[0]  # fmt: skip
    _move_budgets(db, scopes, held=worst)
    origin = (request.run_id, request.stage, request.teacher)
    _write_journal(db, "RESERVED", call_id, origin, held=worst)
    return Reservation(call_id, worst)


def _hit(db: sqlite3.Connection, request: CallRequest, call_id: int, body: bytes, cost: int) -> Hit:
    scopes = (_known_run_scope(db, request.run_id), _month_scope(db, this_month()))
    _move_budgets(db, scopes, saved=cost)
    _write_journal(db, "HIT", call_id, (request.run_id, request.stage, request.teacher), saved=cost)
    return Hit(call_id, body, cost)


def _refuse_uncertain(db: sqlite3.Connection, key: str) -> None:
    row = db.execute("SELECT id FROM calls WHERE key = ? AND state = 'UNCERTAIN'", (key,)).fetchone()
    if row:
        raise TeacherError(
            f"Call {row['id']} for the same answer may have been paid already, and repeating it is switched off.",
            hint="Allow repeats of uncertain calls, or wait for the provider's usage report and settle it.",
            details={"call_id": row["id"]},
        )


def read_answer(db: sqlite3.Connection, key: str) -> tuple[int, bytes, int] | None:
    """Call, body and cost of a kept answer; a damaged one is an error, not a miss that would be paid again."""
    row = db.execute(
        "SELECT call_id, sha256, body, spent FROM answers JOIN calls ON calls.id = call_id WHERE answers.key = ?",
        (key,),
    ).fetchone()
    if row is None:
        return None
    try:
        body = zlib.decompress(row["body"])
    except zlib.error:
        body = b""
    if hashlib.sha256(body).hexdigest() != row["sha256"]:
        raise LedgerError(
            f"The kept answer of call {row['call_id']} is damaged.",
            hint="Restore the ledger from a backup; it is not asked for again, because it was paid.",
        )
    return row["call_id"], body, row["spent"]


# --- moving -----------------------------------------------------------------------------------------


def mark_sent(db: sqlite3.Connection, call_id: int) -> None:
    """The first byte is about to leave."""
    _move(db, call_id, ("RESERVED",), "SENT")


def release(db: sqlite3.Connection, call_id: int, note: str) -> None:
    """Nothing will be billed: it was never sent, or the provider refused it."""
    _move(db, call_id, ("RESERVED", "SENT"), "RELEASED", note=note)


def mark_uncertain(db: sqlite3.Connection, call_id: int, note: str) -> None:
    """It was sent and nobody knows what came of it: it stays held at its worst case."""
    _move(db, call_id, ("SENT",), "UNCERTAIN", note=note)


def write_off(db: sqlite3.Connection, call_id: int, note: str) -> None:
    """Give up finding out: the worst case counts as spent."""
    worst = _call(db, call_id)["worst"]
    _move(db, call_id, ("UNCERTAIN",), "WRITTEN_OFF", spent=worst, note=note)


def settle(db: sqlite3.Connection, call_id: int, usage: Usage | None, body: bytes, note: str) -> Settled:
    """Book the true cost and keep the answer. Without usage the worst case is booked."""
    call = _call(db, call_id)
    cost = call["worst"] if usage is None else price(usage, price_of(db, call["price_id"]), batch=bool(call["batch"]))
    result = Settled(cost, max(0, cost - call["worst"]))
    if call["state"] == "SETTLED":
        if (call["spent"], _digest_of_answer(db, call_id)) != (cost, hashlib.sha256(body).hexdigest()):
            raise LedgerError(
                f"Call {call_id} is settled already, with another cost or answer.",
                hint="This is a fault of the program: please report it.",
            )
        return result
    counts = [None] * 5 if usage is None else [getattr(usage, name) for name in _USAGE_COLUMNS]
    db.execute(
        "UPDATE calls SET basis = ?, input_tokens = ?, cached_input_tokens = ?, cache_write_tokens = ?, "
        "output_tokens = ?, reasoning_tokens = ? WHERE id = ?",
        ("worst_case" if usage is None else "usage", *counts, call_id),
    )
    _move(db, call_id, ("SENT", "UNCERTAIN"), "SETTLED", spent=cost, overrun=result.overrun_nano_usd, note=note)
    # Another call may have brought the answer while this one was uncertain; then this one only costs.
    db.execute(
        "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)",
        (call["key"], call_id, hashlib.sha256(body).hexdigest(), zlib.compress(body)),
    )
    return result


def _digest_of_answer(db: sqlite3.Connection, call_id: int) -> str | None:
    row = db.execute("SELECT sha256 FROM answers WHERE call_id = ?", (call_id,)).fetchone()
    return row["sha256"] if row else None


def _call(db: sqlite3.Connection, call_id: int) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute("SELECT * FROM calls WHERE id = ?", (call_id,)).fetchone()
    if row is None:
        raise LedgerError(f"There is no call {call_id}.", hint="This is a fault of the program: please report it.")
    return row


def _move(
    db: sqlite3.Connection,
    call_id: int,
    allowed: tuple[State, ...],
    state: State,
    *,
    spent: int = 0,
    overrun: int = 0,
    note: str = "",
) -> None:
    """Change a call's state, its money, both budgets and the journal; states move only forward."""
    call = _call(db, call_id)
    if call["state"] not in allowed:
        raise LedgerError(
            f"Call {call_id} is {call['state']}; only {' or '.join(allowed)} can become {state}.",
            hint="This is a fault of the program: please report it.",
            details={"call_id": call_id, "state": call["state"]},
        )
    held = call["worst"] if state in ("RESERVED", "SENT", "UNCERTAIN") else 0
    db.execute("UPDATE calls SET state = ?, held = ?, spent = ? WHERE id = ?", (state, held, spent, call_id))
    scopes = (run_scope(call["run_id"]), f"month:{call['month']}")
    change = held - call["held"]
    _move_budgets(db, scopes, held=change, spent=spent, overrun=overrun)
    _write_journal(
        db, state, call_id, (call["run_id"], call["stage"], call["teacher"]), held=change, spent=spent, note=note
    )


def _move_budgets(
    db: sqlite3.Connection, scopes: tuple[str, ...], *, held: int = 0, spent: int = 0, saved: int = 0, overrun: int = 0
) -> None:
    for scope in scopes:
        db.execute(
            "UPDATE budgets SET held = held + ?, spent = spent + ?, saved = saved + ?, overrun = overrun + ? "
            "WHERE scope = ?",
            (held, spent, saved, overrun, scope),
        )


def _write_journal(
    db: sqlite3.Connection,
    kind: str,
    call_id: int | None,
    origin: tuple[str, str, str],
    *,
    held: int = 0,
    spent: int = 0,
    saved: int = 0,
    note: str = "",
) -> None:
    db.execute(
        "INSERT INTO journal(time, kind, call_id, run_id, stage, teacher, held, spent, saved, note) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (time.time(), kind, call_id, *origin, held, spent, saved, note[:MAX_NOTE]),
    )
