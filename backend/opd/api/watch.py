"""One watcher a run, shared by all sockets that follow it: looks every 50 ms whether anything was written.

In: a run's folder. Out: a wake-up for everyone who waits, whenever the event log or the derived state has changed.
Holds the one open reader of the run, so that two hundred sockets cost one database connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from opd.errors import StorageError
from opd.store.events_db import EventReader
from opd.store.runs import RunFolder, RunState, RunStore

POLL_S = 0.05
_STATE_EVERY = 10  # polls between two looks at the process table


class Watcher:
    """Follows one run while anybody listens."""

    def __init__(self, run: RunFolder):
        self.run = run
        self.state: RunState = run.state()
        self.is_gone = False
        self.num_followers = 0
        self.version = 0
        """Grows with every change seen."""
        self._reader: EventReader | None = None
        self._data_version = -1
        self._changed = asyncio.Condition()
        self._task = asyncio.create_task(self._poll(), name=f"watch-{run.run_id}")

    def read(self, after: int, limit: int) -> list[tuple[int, float, str]]:
        """Events after a cursor as (seq, time, JSON text)."""
        reader = self._open()
        return reader.read_text(after, limit) if reader else []

    def last_seq(self) -> int:
        """Number of the newest event."""
        reader = self._open()
        return reader.last_seq() if reader else 0

    async def wait(self, seen: int) -> None:
        """Return as soon as `version` is beyond `seen`."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.version > seen)

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        if self._reader:
            self._reader.close()

    async def _poll(self) -> None:
        tick = 0
        while not self.is_gone:
            tick += 1
            # The state first: when it says "ended", every event of the run is already in the log.
            changed = self._look_at_state() if tick % _STATE_EVERY == 0 else False
            changed = self._look_at_log() or changed
            if changed:
                async with self._changed:
                    self.version += 1
                    self._changed.notify_all()
            await asyncio.sleep(POLL_S)

    def _look_at_state(self) -> bool:
        self.is_gone = not self.run.path.is_dir()
        state = self.state if self.is_gone else self.run.state()
        changed = state != self.state or self.is_gone
        self.state = state
        return changed

    def _look_at_log(self) -> bool:
        reader = self._open()
        if reader is None:
            return False
        try:
            version = reader.data_version()
        except StorageError:
            self.is_gone = True
            return True
        changed = version != self._data_version
        self._data_version = version
        return changed

    def _open(self) -> EventReader | None:
        if self._reader is None and not self.is_gone:
            with contextlib.suppress(StorageError):  # deleted in this moment; the next look at the state says so
                self._reader = self.run.reader()
        return self._reader


class Watchers:
    """The watchers of all runs that somebody follows."""

    def __init__(self, store: RunStore):
        self._store = store
        self._open: dict[str, Watcher] = {}

    @contextlib.asynccontextmanager
    async def follow(self, run_id: str) -> AsyncIterator[Watcher]:
        """The run's watcher; it ends with its last follower.

        Raises:
            NotFoundError: there is no such run.
        """
        watcher = self._open.get(run_id)
        if watcher is None or watcher.is_gone:
            watcher = self._open[run_id] = Watcher(self._store.get(run_id))
        watcher.num_followers += 1
        try:
            yield watcher
        finally:
            watcher.num_followers -= 1
            if watcher.num_followers == 0:
                if self._open.get(run_id) is watcher:
                    del self._open[run_id]
                await watcher.close()
