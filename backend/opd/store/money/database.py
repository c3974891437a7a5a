"""The ledger's file: schema, safe opening, and transactions that share one fsync.

In: functions that read and write through a connection. Out: their results, after the commit is on disk. Knows the
tables but not the rules of money, except those that SQLite itself can hold: they are CHECKs and a unique index, so that
no code path can break them.

WAL with synchronous=FULL: a commit is on disk when it returns. Threads that book at the same time share a commit (one
leads, the others' work rides along), because at some hundred fsyncs a second 32 calls in parallel would wait for it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from opd.errors import OPDError, StorageError

Result = TypeVar("Result")

APPLICATION_ID = 0x4F50444D  # "OPDM"
SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 30

SCHEMA = """
CREATE TABLE prices(
    id TEXT PRIMARY KEY CHECK(length(id) > 0), rates TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE budgets(
    scope TEXT PRIMARY KEY,
    cap INTEGER CHECK(cap >= 0),
    held INTEGER NOT NULL DEFAULT 0 CHECK(held >= 0),
    spent INTEGER NOT NULL DEFAULT 0 CHECK(spent >= 0),
    saved INTEGER NOT NULL DEFAULT 0 CHECK(saved >= 0),
    overrun INTEGER NOT NULL DEFAULT 0 CHECK(overrun >= 0),
    CHECK(cap IS NULL OR held + spent <= cap + overrun)) STRICT, WITHOUT ROWID;
CREATE TABLE calls(
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    run_id TEXT NOT NULL, stage TEXT NOT NULL, teacher TEXT NOT NULL, month TEXT NOT NULL, owner TEXT NOT NULL,
    price_id TEXT NOT NULL REFERENCES prices(id), batch INTEGER NOT NULL,
    state TEXT NOT NULL,
    worst INTEGER NOT NULL CHECK(worst >= 0),
    held INTEGER NOT NULL, spent INTEGER NOT NULL,
    basis TEXT CHECK(basis IN ('usage', 'worst_case')),
    input_tokens INTEGER, cached_input_tokens INTEGER, cache_write_tokens INTEGER,
    output_tokens INTEGER, reasoning_tokens INTEGER,
    time REAL NOT NULL,
    CHECK(CASE state
        WHEN 'RESERVED' THEN held = worst AND spent = 0
        WHEN 'SENT' THEN held = worst AND spent = 0
        WHEN 'UNCERTAIN' THEN held = worst AND spent = 0
        WHEN 'RELEASED' THEN held = 0 AND spent = 0
        WHEN 'WRITTEN_OFF' THEN held = 0 AND spent = worst
        WHEN 'SETTLED' THEN held = 0 AND spent >= 0 AND basis IS NOT NULL
        ELSE 0 END)) STRICT;
CREATE UNIQUE INDEX one_open_call ON calls(key) WHERE state IN ('RESERVED', 'SENT');
CREATE INDEX calls_by_key ON calls(key);
CREATE INDEX calls_by_run ON calls(run_id, state);
CREATE INDEX unfinished_calls ON calls(state) WHERE state IN ('RESERVED', 'SENT', 'UNCERTAIN');
CREATE TABLE answers(
    key TEXT PRIMARY KEY, call_id INTEGER NOT NULL UNIQUE REFERENCES calls(id),
    sha256 TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE journal(
    seq INTEGER PRIMARY KEY, time REAL NOT NULL, kind TEXT NOT NULL, call_id INTEGER REFERENCES calls(id),
    run_id TEXT NOT NULL, stage TEXT NOT NULL, teacher TEXT NOT NULL,
    held INTEGER NOT NULL, spent INTEGER NOT NULL, saved INTEGER NOT NULL, note TEXT NOT NULL) STRICT;
CREATE INDEX journal_by_call ON journal(call_id);
CREATE TRIGGER journal_is_final_1 BEFORE UPDATE ON journal BEGIN SELECT raise(ABORT, 'the journal is final'); END;
CREATE TRIGGER journal_is_final_2 BEFORE DELETE ON journal BEGIN SELECT raise(ABORT, 'the journal is final'); END;
"""


class _Ticket:
    """One thread's work in a shared transaction, and what came of it."""

    def __init__(self, work: Callable[[sqlite3.Connection], Any]):
        self.work = work
        self.done = False
        self.value: Any = None
        # Until the commit has returned, nothing has happened: also if its leader is interrupted.
        self.error: OPDError | None = StorageError("The booking was interrupted before it was on disk.")


class Database:
    """The only connection of this process to one ledger file; safe for many threads, not for a forked child."""

    def __init__(self, path: Path):
        self.path = path
        self._pid = os.getpid()
        self._turn = threading.Lock()
        self._queue_lock = threading.Lock()
        self._queue: list[_Ticket] = []
        self._connection = _open(path)

    def close(self) -> None:
        """Close the file; open calls stay as they are."""
        with self._turn:
            self._connection.close()

    def read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` on a consistent view of the committed state.

        Raises:
            StorageError: the file cannot be read.
        """
        self._check_process()
        with self._turn:
            try:
                self._connection.execute("BEGIN")
                return work(self._connection)
            except sqlite3.Error as error:
                raise _failed(self.path, error) from error
            finally:
                self._rollback()

    def write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` in a transaction and return when its result is on disk.

        An `OPDError` or a violated constraint undoes this work alone; work of other threads that shared the
        transaction stays.

        Raises:
            StorageError: the disk is full, the file is damaged, or a constraint would be broken.
        """
        self._check_process()
        ticket = _Ticket(work)
        with self._queue_lock:
            self._queue.append(ticket)
        with self._turn:
            if not ticket.done:
                with self._queue_lock:
                    batch, self._queue = self._queue, []
                self._commit(batch)
        if ticket.error is not None:
            raise ticket.error
        result: Result = ticket.value
        return result

    def _commit(self, batch: list[_Ticket]) -> None:
        try:
            # IMMEDIATE: other processes write too, and what is read here must still be true at the commit.
            self._connection.execute("BEGIN IMMEDIATE")
            refusals = [self._run(ticket) for ticket in batch]
            self._connection.execute("COMMIT")
            for ticket, refusal in zip(batch, refusals, strict=True):
                ticket.error = refusal
        except sqlite3.Error as error:
            for ticket in batch:
                ticket.error = _failed(self.path, error)
        finally:
            self._rollback()
            for ticket in batch:
                ticket.done = True

    def _run(self, ticket: _Ticket) -> OPDError | None:
        refusal: OPDError | None = None
        self._connection.execute("SAVEPOINT work")
        try:
            ticket.value = ticket.work(self._connection)
        except OPDError as error:
            refusal = error
        except sqlite3.IntegrityError as error:
            refusal = _failed(self.path, error)
        if refusal is not None:
            self._connection.execute("ROLLBACK TO work")
        self._connection.execute("RELEASE work")
        return refusal

    def _rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise StorageError(
                "The ledger was opened by the parent process; expected one connection per process.",
                hint="Open the ledger after the fork.",
            )


def _open(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(f"{path}.lock").acquire(timeout=BUSY_TIMEOUT_S)
    except (OSError, Timeout) as error:
        raise _failed(path, error) from error
    with lock:  # so that an empty file is never one that another process is just making
        return _open_alone(path)


def _open_alone(path: Path) -> sqlite3.Connection:
    existed = path.exists()
    if existed and path.stat().st_size == 0:
        raise StorageError(
            f"The ledger {path} is damaged: the file is empty.",
            hint="It is left as it is. Restore it from a backup, or delete it and start a new one: "
            "what was spent before is then no longer counted.",
        )
    try:
        connection = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=256
        )
    except (OSError, sqlite3.Error) as error:
        raise _failed(path, error) from error
    try:
        _prepare(connection, path, existed)
    except sqlite3.Error as error:
        connection.close()
        raise _failed(path, error) from error
    except StorageError:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, existed: bool) -> None:
    connection.row_factory = sqlite3.Row
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if existed and (application, version) != (APPLICATION_ID, SCHEMA_VERSION) and _has_tables(connection):
        raise StorageError(
            f"{path} is not a ledger of this version (found application {application}, schema {version}).",
            hint="Move the file away if it is something else; a newer ledger needs a newer OPD Studio.",
        )
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise StorageError(
            f"The ledger cannot be kept safely at {path}: no write-ahead log (journal mode {mode}).",
            hint="Set OPD_DATA_DIR to a folder on a local disk.",
        )
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA fullfsync=ON")  # on macOS fsync alone does not reach the disk
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("BEGIN IMMEDIATE")
    if not _has_tables(connection):
        for statement in filter(None, map(str.strip, SCHEMA.split(";\n"))):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    connection.execute("COMMIT")
    (health,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if health != "ok":
        raise StorageError(
            f"The ledger {path} is damaged: {health}.",
            hint="It is left as it is. Restore it from a backup, or move it away and start a new one: "
            "what was spent before is then no longer counted.",
        )


def _has_tables(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def _failed(path: Path, error: Exception) -> StorageError:
    return StorageError(
        f"The ledger {path} could not be used: {error}.",
        hint="Nothing more is sent to a paid teacher. Check the disk; the file is never replaced by an empty one.",
    )
