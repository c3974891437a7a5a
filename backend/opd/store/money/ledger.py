"""The ledger and answer cache as the rest of the program sees it.

In: requests, replies and their usage. Out: permission to send, answers already paid for, money spent and held. Knows
nothing of HTTP, teachers or runs beyond their names.

Order of a paid call: `claim` (worst case held, on disk) -> `sent` (on disk) -> the wire -> `settle` (cost and answer
in one transaction). A process that dies leaves its calls open; the next one to open the ledger releases what was never
sent and marks what was sent as uncertain, which keeps counting at its worst case.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
import time
from pathlib import Path
from typing import Self

import psutil

from opd.errors import TeacherError
from opd.pricing import Usage
from opd.store.money import bookings
from opd.store.money.database import Database
from opd.store.money.records import CallRequest, Hit, InFlight, LedgerError, Meter, Recovered, Reservation, Settled

POLL_S = 0.05

# Ledgers open in this process: an own call of one that was closed or lost is as dead as that of a dead process.
_OPEN_HERE: set[str] = set()


class Ledger:
    """One process's hold on `money.db`. Thread-safe; open it anew after a fork.

    Args:
        path: the database, made when there is none.
        strict: never repeat a call that may have been paid; the default repeats it and counts both in full.

    Raises:
        StorageError: no usable database at `path`, or a damaged one.
    """

    def __init__(self, path: Path, *, strict: bool = False):
        self._strict = strict
        self._database = Database(path)
        self._changed = threading.Condition()
        self.owner = f"{os.getpid()}:{psutil.Process().create_time():.2f}:{secrets.token_hex(4)}"
        _OPEN_HERE.add(self.owner)
        self.recovered = self.recover()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the database back. Calls still open are recovered by the next ledger."""
        _OPEN_HERE.discard(self.owner)
        self._database.close()

    @property
    def database(self) -> Database:
        """For the readers in `audit` and `costs`."""
        return self._database

    # --- budgets ---

    def set_run_cap(self, run_id: str, cap_nano_usd: int) -> None:
        """Set or raise a run's cap. A run without one may spend nothing.

        Raises:
            LedgerError: below what is already spent and held.
        """
        _require_money(cap_nano_usd)
        self._database.write(lambda db: bookings.set_cap(db, bookings.run_scope(run_id), cap_nano_usd))

    def set_month_cap(self, cap_nano_usd: int | None) -> None:
        """Set the cap of all runs together in this and every later month (UTC); None is no cap.

        Raises:
            LedgerError: below what is spent and held this month.
        """
        if cap_nano_usd is not None:
            _require_money(cap_nano_usd)
        self._database.write(lambda db: bookings.set_month_cap(db, cap_nano_usd))

    def run_meter(self, run_id: str) -> Meter:
        """What a run has spent and holds now."""
        return self._database.read(lambda db: _meter(db, bookings.run_scope(run_id), run_id))

    def month_meter(self, month: str | None = None) -> Meter:
        """What all runs have spent and hold in a month (`2026-11`); None is this month."""
        name = month or bookings.this_month()
        return self._database.read(lambda db: _meter(db, f"month:{name}", name))

    # --- a call's life ---

    def reserve(self, request: CallRequest) -> Hit | Reservation | InFlight:
        """Look for the answer, else hold the worst case. Returns at once.

        Raises:
            BudgetReachedError: run or month has no room for the worst case; nothing is held.
            TeacherError: in strict mode, when the same call may have been paid before.
            LedgerError: the kept answer is damaged.
        """
        return self._database.write(lambda db: bookings.reserve(db, request, self.owner, strict=self._strict))

    def claim(self, request: CallRequest, *, wait_s: float = 600.0) -> Hit | Reservation:
        """As `reserve`, but wait while someone else asks the same, so that it is paid once.

        Raises:
            TeacherError: the other call took longer than `wait_s`; and what `reserve` raises.
        """
        deadline = time.monotonic() + wait_s
        while True:
            result = self.reserve(request)
            if not isinstance(result, InFlight):
                return result
            if time.monotonic() > deadline:
                raise TeacherError(
                    f"The same question has been under way for more than {wait_s:.0f} s (call {result.call_id}).",
                    hint="Look whether another run hangs; stop it, and this one goes on.",
                )
            if not _is_alive(result.owner):
                self.recover()
                continue
            with self._changed:
                self._changed.wait(POLL_S)  # another process cannot wake us

    def sent(self, call_id: int) -> None:
        """Book that the request leaves now; call it before the first byte does."""
        self._database.write(lambda db: bookings.mark_sent(db, call_id))

    def settle(self, call_id: int, usage: Usage | None, body: bytes, *, note: str = "") -> Settled:
        """Book the true cost and keep the answer, in one transaction. Doing it twice changes nothing.

        Args:
            usage: as the provider reported it; None (missing or absurd) books the worst case.
            body: the reply, returned by later hits.

        Raises:
            LedgerError: the call was never sent, or is closed otherwise.
        """
        settled = self._database.write(lambda db: bookings.settle(db, call_id, usage, body, note))
        self._wake()
        return settled

    def release(self, call_id: int, note: str) -> None:
        """Book that nothing will be billed: not sent, or refused with 400, 401, 403, 404 or 429."""
        self._database.write(lambda db: bookings.release(db, call_id, note))
        self._wake()

    def uncertain(self, call_id: int, note: str) -> None:
        """Book that nobody knows whether it is billed: a timeout, a broken reply. It stays held in full."""
        self._database.write(lambda db: bookings.mark_uncertain(db, call_id, note))
        self._wake()

    def write_off(self, call_id: int, note: str) -> None:
        """Count an uncertain call as spent at its worst case, for good."""
        self._database.write(lambda db: bookings.write_off(db, call_id, note))

    def recover(self) -> Recovered:
        """Close the open calls of processes that are gone; those of living ones are left alone."""
        return self._database.write(_recover)

    def answer(self, key: str) -> bytes | None:
        """A kept answer, or None. Unlike a hit it is not booked as saved.

        Raises:
            LedgerError: the answer is damaged.
        """
        found = self._database.read(lambda db: bookings.read_answer(db, key))
        return found[1] if found else None

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _recover(db: sqlite3.Connection) -> Recovered:
    alive: dict[str, bool] = {}
    counts = {"RESERVED": 0, "SENT": 0}
    for row in db.execute("SELECT id, owner, state FROM calls WHERE state IN ('RESERVED', 'SENT')").fetchall():
        owner = row["owner"]
        if alive.setdefault(owner, _is_alive(owner)):
            continue
        counts[row["state"]] += 1
        if row["state"] == "RESERVED":
            bookings.release(db, row["id"], "its process ended before it was sent")
        else:
            bookings.mark_uncertain(db, row["id"], "its process ended after it was sent")
    return Recovered(counts["RESERVED"], counts["SENT"])


def _is_alive(owner: str) -> bool:
    """Whether a ledger's process lives: same pid, same start (pids are reused), not a zombie."""
    pid, start, _ = owner.split(":")
    if int(pid) == os.getpid():
        return owner in _OPEN_HERE
    try:
        process = psutil.Process(int(pid))
        return abs(process.create_time() - float(start)) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


_UNFINISHED_OF_RUN = """
SELECT state, count(*), sum(held) FROM calls WHERE run_id = ? AND state IN ('RESERVED', 'SENT', 'UNCERTAIN')
GROUP BY state"""
_UNFINISHED_OF_MONTH = """
SELECT state, count(*), sum(held) FROM calls WHERE month = ? AND state IN ('RESERVED', 'SENT', 'UNCERTAIN')
GROUP BY state"""


def _meter(db: sqlite3.Connection, scope: str, value: str) -> Meter:
    budget = db.execute("SELECT cap, spent, held, saved FROM budgets WHERE scope = ?", (scope,)).fetchone()
    rows = db.execute(_UNFINISHED_OF_RUN if scope.startswith("run:") else _UNFINISHED_OF_MONTH, (value,))
    by_state = {state: (count, held) for state, count, held in rows}
    column = "run_id" if scope.startswith("run:") else "month"
    paid = f"SELECT count(*) FROM calls WHERE {column} = ? AND state IN ('SETTLED', 'WRITTEN_OFF')"  # noqa: S608
    (num_paid,) = db.execute(paid, (value,)).fetchone()
    num_uncertain, possibly_paid = by_state.get("UNCERTAIN", (0, 0))
    cap, spent, held, saved = tuple(budget) if budget else (None, 0, 0, 0)
    return Meter(
        cap_nano_usd=cap,
        spent_nano_usd=spent,
        held_nano_usd=held,
        possibly_paid_nano_usd=possibly_paid,
        saved_nano_usd=saved,
        num_open=sum(count for state, (count, _) in by_state.items() if state != "UNCERTAIN"),
        num_uncertain=num_uncertain,
        num_paid=num_paid,
    )


def _require_money(amount: int) -> None:
    if type(amount) is not int or amount < 0:
        raise LedgerError(
            f"{amount!r:.40} is no amount; expected whole nano-dollars, 0 or more.",
            hint="One dollar is 1,000,000,000 nano-dollars.",
        )
