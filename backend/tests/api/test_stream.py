"""The live stream on a real server: nothing lost, nothing twice, nothing out of order, whatever clients do."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import TypeAdapter
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from opd.api import stream
from opd.api.frames import StreamFrame
from opd.events import StepLogged
from opd.store.runs import RunFolder, RunStore
from studio_in_tests import Client, config, open_studio, until

FRAME: TypeAdapter[StreamFrame] = TypeAdapter(StreamFrame)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with open_studio(tmp_path) as client:
        yield client


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunStore(tmp_path).create(config())


@asynccontextmanager
async def follow(client: Client, run_id: str, after: int = 0, **headers: str) -> AsyncIterator[ClientConnection]:
    url = f"{client.server.url.replace('http', 'ws')}api/opd/ws?run_id={run_id}&after={after}"
    given = headers or {"authorization": f"Bearer {client.server.token}"}
    async with connect(
        url, additional_headers=given, proxy=None, max_size=None, compression=None, open_timeout=None
    ) as socket:
        yield socket


async def frames(socket: ClientConnection) -> AsyncIterator[dict[str, Any]]:
    async for text in socket:
        # Everything that is sent has the shape that the page is generated from.
        FRAME.validate_json(text)
        yield json.loads(text)


def write(run: RunFolder, first: int, last: int, batch: int = 200) -> None:
    """Events whose step is their seq."""
    writer = run.writer()
    for start in range(first, last + 1, batch):
        steps = range(start, min(start + batch, last + 1))
        writer.append(*(StepLogged(step=step, metrics={"loss": 1.0}) for step in steps))
    writer.close()


async def read_until(socket: ClientConnection, seen: list[int], last: int) -> None:
    """Collect seqs up to `last`, checking that each event is the one that was written under its seq."""
    async for frame in frames(socket):
        if frame["type"] == "events":
            for item in frame["items"]:
                assert item["event"]["step"] == item["seq"]
                seen.append(item["seq"])
        if seen and seen[-1] >= last:
            return


async def test_replay_then_live_in_the_order_of_the_contract(client: Client, run: RunFolder) -> None:
    write(run, 1, 3)
    async with follow(client, run.run_id) as socket:
        stream_of = frames(socket)
        assert await anext(stream_of) == {"type": "state", "run_id": run.run_id, "state": "queued"}
        replay = await anext(stream_of)
        assert [item["seq"] for item in replay["items"]] == [1, 2, 3]
        assert replay["items"][0]["event"]["kind"] == "step_logged"
        assert await anext(stream_of) == {"type": "caught_up", "seq": 3}
        write(run, 4, 4)
        live = await anext(stream_of)
        assert [item["seq"] for item in live["items"]] == [4]
        lock = run.begin()
        assert (await anext(stream_of))["state"] == "running"
        run.end("done", step=4)
        assert (await anext(stream_of))["state"] == "done"
        lock.release()


async def test_a_cursor_gets_what_comes_after_it(client: Client, run: RunFolder) -> None:
    write(run, 1, 1200)
    for after in (0, 1, 499, 500, 1199):
        seen: list[int] = []
        async with follow(client, run.run_id, after) as socket:
            await read_until(socket, seen, 1200)
        assert seen == list(range(after + 1, 1201))
    async with follow(client, run.run_id, 1200) as socket:
        assert [(await anext(frames(socket)))["type"] for _ in range(2)] == ["state", "caught_up"]


async def test_nothing_is_lost_doubled_or_swapped_over_drops_while_it_is_written(
    client: Client, run: RunFolder
) -> None:
    total, drops, rng = 100_000, 20, random.Random(0)
    writer = threading.Thread(target=write, args=(run, 1, total, 100))
    writer.start()
    seen: list[int] = []
    limits = sorted(rng.sample(range(1, total), drops))
    for limit in [*limits, total]:
        async with follow(client, run.run_id, seen[-1] if seen else 0) as socket:
            await read_until(socket, seen, limit)
            if limit != total:
                socket.transport.abort()
    writer.join()
    assert seen == list(range(1, total + 1))


async def test_two_hundred_tabs_see_the_same_and_frozen_ones_cost_little(
    client: Client, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "SEND_TIMEOUT_S", 1.0)
    monkeypatch.setattr(stream, "_ABORT_AFTER_S", 0.5)
    total, num_tabs, num_frozen = 2_000, 180, 20
    frozen = [freeze(client, run.run_id) for _ in range(num_frozen)]
    before = psutil.Process().memory_info().rss

    async def tab() -> list[int]:
        seen: list[int] = []
        async with follow(client, run.run_id) as socket:
            await read_until(socket, seen, total)
        return seen

    writer = threading.Thread(target=write, args=(run, 1, total, 20))
    tabs = [asyncio.create_task(tab()) for _ in range(num_tabs)]
    writer.start()
    for seen in await asyncio.gather(*tabs):
        assert seen == list(range(1, total + 1))
    writer.join()
    grown = psutil.Process().memory_info().rss - before
    assert grown < 150 * 2**20, f"{grown / 2**20:.0f} MiB for server and {num_tabs} clients in one process"
    for connection in frozen:
        connection.close()


async def test_a_client_that_never_reads_is_cut_off(
    client: Client, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "SEND_TIMEOUT_S", 0.3)
    monkeypatch.setattr(stream, "_ABORT_AFTER_S", 0.1)
    write(run, 1, 60_000, batch=5000)  # several megabytes: more than any socket buffer takes
    connection = freeze(client, run.run_id)
    me = psutil.Process()

    def served() -> bool:
        ends = [c for c in me.net_connections("tcp") if c.laddr and c.laddr.port == client.server.port]
        return any(c.status == psutil.CONN_ESTABLISHED and c.raddr.port == connection.getsockname()[1] for c in ends)

    assert served()
    await asyncio.to_thread(until, lambda: not served(), "the line to be cut")
    connection.close()


def freeze(client: Client, run_id: str) -> socket.socket:
    """A client that opens the socket and never reads a byte of the stream."""
    connection = socket.create_connection(("127.0.0.1", client.server.port))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.sendall(
        (
            f"GET /api/opd/ws?run_id={run_id}&after=0 HTTP/1.1\r\nHost: 127.0.0.1:{client.server.port}\r\n"
            f"Authorization: Bearer {client.server.token}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()
    )
    assert b"101" in connection.recv(12)
    return connection


async def closed_with(client: Client, run_id: str, after: int = 0) -> int:
    async with follow(client, run_id, after) as socket:
        return await closing_code(socket)


async def closing_code(socket: ClientConnection) -> int:
    """Read to the end; how the server closed comes back."""
    try:
        while True:
            await socket.recv()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006


async def test_what_cannot_be_followed_says_why(client: Client, run: RunFolder) -> None:
    write(run, 1, 5)
    assert await closed_with(client, "no-such-run") == stream.NO_SUCH_RUN
    assert await closed_with(client, "..%2F..%2Fetc") == stream.NO_SUCH_RUN
    assert await closed_with(client, run.run_id, after=6) == stream.CURSOR_AHEAD
    assert await closed_with(client, run.run_id, after=2**70) == stream.CURSOR_AHEAD


async def test_followers_are_told_that_the_run_is_gone(client: Client, run: RunFolder) -> None:
    async with follow(client, run.run_id) as socket:
        await anext(frames(socket))
        assert client.send_json("DELETE", f"/api/runs/{run.run_id}").status_code == 200
        assert await closing_code(socket) == stream.NO_SUCH_RUN


async def test_noise_from_a_client_changes_nothing(client: Client, run: RunFolder) -> None:
    async with follow(client, run.run_id) as socket:
        for noise in ("", "{}", "x" * 60_000, b"\x00\xff", '{"type":"stop"}'):
            await socket.send(noise)
        write(run, 1, 2)
        seen: list[int] = []
        await read_until(socket, seen, 2)
        assert seen == [1, 2]


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer wrong"},
        {"origin": "https://evil.com"},
        {"cookie": "opd_session=x"},
    ],
)
async def test_a_stranger_gets_no_socket(client: Client, run: RunFolder, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with follow(client, run.run_id, **headers):
            pass
    assert refused.value.response.status_code == 403


async def test_the_page_gets_one_with_its_cookie_and_origin(client: Client, run: RunFolder) -> None:
    url = client.server.url
    code = client.server.new_url().partition("?code=")[2]
    answer = client.send_json("POST", "/api/session", {"code": code})
    cookie = answer.headers["set-cookie"].partition(";")[0]
    async with follow(client, run.run_id, origin=url.rstrip("/"), cookie=cookie) as socket:
        assert (await anext(frames(socket)))["type"] == "state"
    with pytest.raises(InvalidStatus):
        async with follow(client, run.run_id, cookie=cookie):
            pass


async def test_the_watcher_ends_with_its_last_follower(client: Client, run: RunFolder) -> None:
    def watching() -> bool:
        return any(path.path == str(run.events_path) for path in psutil.Process().open_files())

    async with follow(client, run.run_id) as one, follow(client, run.run_id) as other:
        await anext(frames(one))
        await anext(frames(other))
        assert sum(file.path == str(run.events_path) for file in psutil.Process().open_files()) == 1
    await asyncio.to_thread(until, lambda: not watching(), "the log to be closed")
