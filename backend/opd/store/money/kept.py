"""Answers that are kept, with what they cost: for estimates, which learn from them how long a teacher's answers are.

In: keys of requests. Out: for each that was answered, the reply and its usage. Nothing is booked: looking is no hit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from opd.pricing import Usage
from opd.store.money.bookings import read_answer
from opd.store.money.ledger import Ledger

_KEYS_AT_ONCE = 500  # SQLite's oldest limit on parameters is 999
_COUNTS = (
    "SELECT key, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, cache_write_tokens FROM calls"
)


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """A reply that was paid. `usage` is None where the provider gave none that can be true."""

    body: bytes
    usage: Usage | None


def kept_answers(path: Path, keys: Sequence[str]) -> dict[str, KeptAnswer]:
    """The kept answers among these keys; none where there is no ledger, since looking makes none.

    Raises:
        StorageError: the ledger cannot be read, or an answer in it is damaged.
    """
    if not keys or not path.exists():
        return {}
    with Ledger(path) as ledger:
        return ledger.database.read(lambda db: _read(db, keys))


def _read(db: sqlite3.Connection, keys: Sequence[str]) -> dict[str, KeptAnswer]:
    found: dict[str, KeptAnswer] = {}
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        some = tuple(keys[start : start + _KEYS_AT_ONCE])
        places = ", ".join("?" * len(some))
        rows = db.execute(f"{_COUNTS} WHERE id IN (SELECT call_id FROM answers WHERE key IN ({places}))", some)  # noqa: S608  # only question marks are put in
        for key, first, *counts in rows.fetchall():
            answer = read_answer(db, key)
            if answer is not None:
                found[key] = KeptAnswer(answer[1], None if first is None else Usage(first, *counts))
    return found
