"""The long form of the stream's promises: a million events over dropped lines, two hundred tabs, a small server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed

from faults.servers import Nursery, ServerProcess
from opd.api.access import read_token
from opd.events import StepLogged
from opd.store.runs import RunFolder, RunStore
from studio_in_tests import config

pytestmark = pytest.mark.torture

NUM_EVENTS = 1_000_000
NUM_DROPS = 33
NUM_TABS, NUM_FROZEN = 180, 20
LIMIT = 250 * 2**20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    nursery = Nursery()
    yield ServerProcess(nursery, tmp_path)
    nursery.close()


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunStore(tmp_path).create(config())


def write(run: RunFolder, total: int, batch: int) -> None:
    writer = run.writer()
    for start in range(1, total + 1, batch):
        steps = range(start, min(start + batch, total + 1))
        writer.append(*(StepLogged(step=step, metrics={"loss": 1 / step}) for step in steps))
    writer.close()


@dataclass
class Cursor:
    """How far a client has read."""

    last: int = 0


async def take(server: ServerProcess, run: RunFolder, cursor: Cursor, limit: int) -> None:
    """Follow from the cursor to `limit`; every event has to be the next one. Then the line is cut without a goodbye."""
    async with server.follow(run.run_id, cursor.last) as socket:
        while cursor.last < limit:
            frame = json.loads(await socket.recv())
            for item in frame["items"] if frame["type"] == "events" else []:
                assert item["seq"] == item["event"]["step"] == cursor.last + 1
                cursor.last += 1
        socket.transport.abort()


async def watch(server: ServerProcess, run: RunFolder, total: int) -> int:
    """A tab: one that was too slow for the server comes back with its cursor, as the page does; how often is told."""
    cursor, times_back = Cursor(), -1
    while cursor.last < total:
        times_back += 1
        with contextlib.suppress(ConnectionClosed):
            await take(server, run, cursor, total)
    return times_back


async def test_a_million_events_over_dropped_lines(
    server: ServerProcess, run: RunFolder, tell: Callable[[str], None]
) -> None:
    rng = random.Random(0)
    writer = threading.Thread(target=write, args=(run, NUM_EVENTS, 500))
    before, highest, cursor = server.rss(), 0, Cursor()
    writer.start()
    for limit in [*sorted(rng.sample(range(1, NUM_EVENTS), NUM_DROPS)), NUM_EVENTS]:
        await take(server, run, cursor, limit)
        highest = max(highest, server.rss())
    writer.join()
    tell(
        f"{cursor.last:,} events over {NUM_DROPS} drops: 0 lost, 0 twice, 0 out of order; "
        f"server {before / 2**20:.0f} to {highest / 2**20:.0f} MiB"
    )
    assert highest < LIMIT


async def test_two_hundred_tabs_in_a_small_server(
    server: ServerProcess, run: RunFolder, tell: Callable[[str], None]
) -> None:
    total = 2_000
    before, highest = server.rss(), 0
    frozen = [freeze(server, run) for _ in range(NUM_FROZEN)]
    writer = threading.Thread(target=write, args=(run, total, 50))
    tabs = [asyncio.create_task(watch(server, run, total)) for _ in range(NUM_TABS)]
    writer.start()
    while not all(tab.done() for tab in tabs):
        highest = max(highest, server.rss())
        await asyncio.sleep(0.1)
    times_back = sum(tab.result() for tab in tabs)
    writer.join()
    tell(
        f"{NUM_TABS} tabs and {NUM_FROZEN} frozen ones, {total:,} events each: complete, {times_back} reconnects; "
        f"server {before / 2**20:.0f} to {highest / 2**20:.0f} MiB"
    )
    assert highest < LIMIT
    for connection in frozen:
        connection.close()


def freeze(server: ServerProcess, run: RunFolder) -> socket.socket:
    """A client that opens the stream and never reads it."""
    address = urlsplit(server.url)
    connection = socket.create_connection((str(address.hostname), int(address.port or 0)))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.sendall(
        (
            f"GET /api/opd/ws?run_id={run.run_id}&after=0 HTTP/1.1\r\nHost: {address.netloc}\r\n"
            f"Authorization: Bearer {read_token(run.path.parents[1])}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()
    )
    assert b"101" in connection.recv(12)
    return connection
