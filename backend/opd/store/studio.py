"""`studio.db`: what the studio itself remembers: start requests, the queue, uploads, settings. Owned by the server.

One connection, used under a lock by the server's threads. Runs are not in here: their folders are the truth.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opd.errors import StorageError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS requests(
    request_id TEXT PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, digest TEXT NOT NULL, started INTEGER NOT NULL,
    time REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS queue(place INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, time REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS uploads(
    id TEXT PRIMARY KEY, name TEXT NOT NULL, file TEXT NOT NULL, time REAL NOT NULL, report TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS settings(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""


@dataclass(frozen=True)
class StartedRequest:
    """What became of a start request. `started` is False when the studio died before it had spawned the run."""

    request_id: str
    run_id: str
    digest: str
    started: bool


@dataclass(frozen=True)
class DatasetRow:
    """An uploaded file; `file` is its name inside the datasets folder, `report` its check as JSON."""

    id: str
    name: str
    file: str
    time: float
    report: str


class StudioDb:
    """The studio's memory.

    Raises:
        StorageError: the file is damaged. It is left as it is; an empty one never takes its place.
    """

    def __init__(self, path: Path):
        self._lock = threading.Lock()
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            if not path.exists():
                _create(path)
            elif path.stat().st_size == 0:
                raise sqlite3.DatabaseError("the file is empty")
            self._db = sqlite3.connect(path, timeout=30, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            (verdict,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise self._damaged(error) from error
        path.chmod(0o600)

    # --- start requests ---------------------------------------------------------------------------

    def request(self, request_id: str) -> StartedRequest | None:
        """What was remembered for this request id."""
        query = "SELECT request_id, run_id, digest, started FROM requests WHERE request_id = ?"
        with self._using() as db:
            row = db.execute(query, (request_id,)).fetchone()
        return StartedRequest(row[0], row[1], row[2], bool(row[3])) if row else None

    def remember_request(self, request_id: str, run_id: str, digest: str) -> None:
        """Bind a request id to a run id before anything is started, so that a repeat finds it."""
        with self._using() as db:
            db.execute("INSERT INTO requests VALUES (?, ?, ?, 0, ?)", (request_id, run_id, digest, time.time()))

    def mark_started(self, request_id: str) -> None:
        with self._using() as db:
            db.execute("UPDATE requests SET started = 1 WHERE request_id = ?", (request_id,))

    # --- the queue --------------------------------------------------------------------------------

    def queued(self) -> list[str]:
        """Ids of the runs that wait for their device, in order."""
        with self._using() as db:
            return [run_id for (run_id,) in db.execute("SELECT run_id FROM queue ORDER BY place")]

    def enqueue(self, run_id: str) -> None:
        """Put a run at the end; one that is in the queue keeps its place."""
        with self._using() as db:
            db.execute("INSERT OR IGNORE INTO queue(run_id, time) VALUES (?, ?)", (run_id, time.time()))

    def dequeue(self, run_id: str) -> None:
        with self._using() as db:
            db.execute("DELETE FROM queue WHERE run_id = ?", (run_id,))

    # --- datasets ---------------------------------------------------------------------------------

    def datasets(self) -> list[DatasetRow]:
        """Uploaded files, newest first."""
        with self._using() as db:
            rows = db.execute("SELECT id, name, file, time, report FROM uploads ORDER BY time DESC, id").fetchall()
        return [DatasetRow(*row) for row in rows]

    def add_dataset(self, row: DatasetRow) -> None:
        with self._using() as db:
            values = (row.id, row.name, row.file, row.time, row.report)
            db.execute("INSERT INTO uploads VALUES (?, ?, ?, ?, ?)", values)

    def remove_dataset(self, dataset_id: str) -> None:
        with self._using() as db:
            db.execute("DELETE FROM uploads WHERE id = ?", (dataset_id,))

    # --- settings ---------------------------------------------------------------------------------

    def setting(self, key: str, default: Any = None) -> Any:
        """A setting's JSON value."""
        with self._using() as db:
            row = db.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else default

    def put_setting(self, key: str, value: Any) -> None:
        with self._using() as db:
            db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, json.dumps(value)))

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        """The connection for one transaction."""
        try:
            with self._lock, self._db:
                yield self._db
        except sqlite3.Error as error:
            raise self._damaged(error) from error

    def _damaged(self, error: sqlite3.Error) -> StorageError:
        return StorageError(
            f"The studio's database {self._path.name} cannot be used: {error}.",
            hint=(
                f"Runs are not in it and are safe. Look at the free space of {self._path.parent}; if the file is "
                "damaged, move it away (start requests and the list of uploads are lost) and start the studio again."
            ),
            details={"path": str(self._path)},
        )


def _create(path: Path) -> None:
    """Make the file beside its place and move it there whole, so that an empty one is always a damaged one."""
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)
    db = sqlite3.connect(aside)
    db.executescript(_SCHEMA)
    db.close()
    os.replace(aside, path)
