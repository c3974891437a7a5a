"""The event log of one run: `events.db`, one writer (the run), any number of readers.

`events(seq, time, kind, body)` is the truth and is only ever appended to; `metrics(metric, step, time, value)` is
the same numbers laid out for charts, written in the same transaction. WAL with synchronous=NORMAL: a killed process
loses nothing, a power cut at most the last moments.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from opd.errors import StorageError
from opd.events import RUN_EVENT, RunEvent, RunResumed, StepLogged, StoredEvent

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events(
    seq INTEGER PRIMARY KEY, time REAL NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS metrics(
    metric TEXT NOT NULL, step INTEGER NOT NULL, time REAL NOT NULL, value REAL,
    PRIMARY KEY(metric, step)) STRICT, WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Bucket:
    """Points of one metric between two steps: extremes survive, so a one-step spike stays visible."""

    first_step: int
    last_step: int
    time: float
    min: float | None
    max: float | None
    mean: float | None
    num: int
    num_missing: int


def metric_name(stage: str, name: str) -> str:
    """Name of a metric in the metrics table: the distillation stage's go bare, others are prefixed."""
    return name if stage == "distillation" else f"{stage}/{name}"


class EventWriter:
    """Appends events; gives each the next `seq`. Only the run's own process may hold one.

    Args:
        create: make the log if there is none. Otherwise it has to be there: one that is gone or empty is damage.

    Raises:
        StorageError: the log is damaged or gone. It is left as it is.
    """

    def __init__(self, path: Path, *, create: bool = True):
        self._db = _connect(path, "rwc" if create else "rw")
        try:
            if create:
                self._db.executescript(_SCHEMA)
            self._seq: int = self._db.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]
            (verdict,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
        except sqlite3.Error as error:
            self._db.close()
            raise _unusable(path, error) from error

    @property
    def seq(self) -> int:
        """Number of the last event written."""
        return self._seq

    def append(self, *events: RunEvent) -> int:
        """Write events in one transaction.

        Raises:
            StorageError: the disk is full or the database cannot be written.
        """
        now = time.time()
        try:
            with self._db:
                for event in events:
                    self._seq += 1
                    self._db.execute(
                        "INSERT INTO events VALUES (?, ?, ?, ?)", (self._seq, now, event.kind, event.model_dump_json())
                    )
                    self._index(event, now)
        except sqlite3.Error as error:
            self._seq -= len(events)
            raise StorageError(
                f"The run's event log could not be written: {error}.",
                hint="Free disk space, then resume the run: its last checkpoint is untouched.",
            ) from error
        return self._seq

    def _index(self, event: RunEvent, now: float) -> None:
        if isinstance(event, RunResumed):
            self._db.execute(
                "DELETE FROM metrics"
                " WHERE step > ? AND metric NOT GLOB 'warm_start/*' AND metric NOT GLOB 'baseline/*'",
                (event.step,),
            )
        elif isinstance(event, StepLogged):
            rows = [
                (metric_name(event.stage, name), event.step, now, value if _is_finite(value) else None)
                for name, value in event.metrics.items()
            ]
            self._db.executemany("INSERT OR REPLACE INTO metrics VALUES (?, ?, ?, ?)", rows)

    def close(self) -> None:
        self._db.close()


class EventReader:
    """Reads a run's log while it grows. Cheap to keep open; not shared between threads."""

    def __init__(self, path: Path):
        self._db = _connect(path, "ro")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def read(self, after: int = 0, limit: int = 10_000) -> list[StoredEvent]:
        """Events with seq > `after`, in order, at most `limit`."""
        return _parsed(self.read_text(after, limit))

    def read_text(self, after: int = 0, limit: int = 10_000) -> list[tuple[int, float, str]]:
        """The same as (seq, time, JSON text), unparsed: what goes over the wire."""
        query = "SELECT seq, time, body FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
        return self._rows(query, (after, limit))

    def read_kind(self, kind: str, limit: int) -> list[StoredEvent]:
        """The newest `limit` events of one kind, in order."""
        query = "SELECT seq, time, body FROM events WHERE kind = ? ORDER BY seq DESC LIMIT ?"
        return _parsed(reversed(self._rows(query, (kind, limit))))

    def read_essence(self, after: int = 0) -> list[StoredEvent]:
        """Events with seq > `after`, less those that make no difference to `fold`: same summary, far fewer rows.

        Left out are all steps but the newest of the distillation, progress within phases that are over, and samples.
        The very last event always stays, because it dates the summary.
        """
        query = """
            SELECT seq, time, body FROM events WHERE seq > :after AND (
                kind NOT IN ('step_logged', 'phase_progressed', 'sample_recorded')
                OR seq = (SELECT max(seq) FROM events)
                OR seq = (SELECT max(seq) FROM events WHERE kind = 'step_logged'
                          AND json_extract(body, '$.stage') = 'distillation')
                OR (kind = 'phase_progressed'
                    AND seq > (SELECT coalesce(max(seq), 0) FROM events WHERE kind = 'phase_started'))
            ) ORDER BY seq"""
        return _parsed(self._rows(query, {"after": after}))

    def ends(self, name: str, *, highest: bool) -> tuple[float | None, float | None, int | None]:
        """Last value of a metric, its best one, and the step of the best: (last, best, best_step)."""
        last = self._rows(
            "SELECT value FROM metrics WHERE metric = ? AND value IS NOT NULL ORDER BY step DESC LIMIT 1", (name,)
        )
        best = self._rows(
            "SELECT value, step FROM metrics WHERE metric = ? AND value IS NOT NULL ORDER BY value * ?, step LIMIT 1",
            (name, -1 if highest else 1),
        )
        return (last[0][0], *best[0]) if last else (None, None, None)

    def data_version(self) -> int:
        """A number that changes when another connection has committed: one cheap look instead of a query."""
        return int(self._rows("PRAGMA data_version")[0][0])

    def last_seq(self) -> int:
        return int(self._rows("SELECT coalesce(max(seq), 0) FROM events")[0][0])

    def metric_names(self) -> list[str]:
        return [name for (name,) in self._rows("SELECT DISTINCT metric FROM metrics ORDER BY metric")]

    def buckets(
        self, names: Sequence[str], first: int = 0, last: int | None = None, max_points: int = 2000
    ) -> dict[str, list[Bucket]]:
        """Metrics as at most `max_points` buckets each over steps first..last (inclusive)."""
        return {name: self._buckets(name, first, last, max_points) for name in names}

    def _buckets(self, name: str, first: int, last: int | None, max_points: int) -> list[Bucket]:
        ((low, high),) = self._rows(
            "SELECT min(step), max(step) FROM metrics WHERE metric = ? AND step >= ? AND step <= ?",
            (name, first, last if last is not None else 2**62),
        )
        if low is None:
            return []
        width = max(1, math.ceil((high - low + 1) / max(1, max_points)))
        rows = self._rows(
            "SELECT min(step), max(step), max(time), min(value), max(value), avg(value), count(value),"
            " count(*) - count(value) FROM metrics WHERE metric = ? AND step BETWEEN ? AND ?"
            " GROUP BY (step - ?) / ? ORDER BY 1",
            (name, low, high, low, width),
        )
        return [Bucket(*row) for row in rows]

    def _rows(self, query: str, arguments: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        """All rows of a query.

        Raises:
            StorageError: the log is damaged or gone.
        """
        try:
            return self._db.execute(query, arguments).fetchall()
        except sqlite3.Error as error:
            raise StorageError(
                f"The run's event log cannot be read: {error}.",
                hint="Nothing was changed. The run's checkpoints do not depend on it: copy the folder, then resume or "
                "export from the newest one.",
            ) from error

    def close(self) -> None:
        self._db.close()


def _parsed(rows: Iterable[tuple[int, float, str]]) -> list[StoredEvent]:
    return [StoredEvent(seq=seq, time=when, event=RUN_EVENT.validate_json(body)) for seq, when, body in rows]


def _connect(path: Path, mode: Literal["ro", "rw", "rwc"]) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, timeout=30, check_same_thread=False)
    except sqlite3.Error as error:
        raise _unusable(path, error) from error
    try:
        (num_tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if mode != "rwc" and not num_tables:
            raise sqlite3.DatabaseError("the file is empty")  # before anything is written into it
        if mode != "ro":
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
    except sqlite3.Error as error:
        db.close()
        raise _unusable(path, error) from error
    return db


def _unusable(path: Path, error: sqlite3.Error) -> StorageError:
    return StorageError(
        f"The event log {path.name} of run {path.parent.name} cannot be used: {error}.",
        hint=f"Nothing was changed, and the run's checkpoints do not depend on it. Copy the run's folder first. "
        f'`sqlite3 {path.name} ".recover" | sqlite3 recovered.db` saves what can be read; put recovered.db in its '
        "place and resume. The model of the newest checkpoint can be exported without it.",
        details={"path": str(path)},
    )


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
