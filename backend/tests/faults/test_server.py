"""The server killed again and again with a run in flight: the run does not notice, and no page loses an event."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from websockets.asyncio.client import ClientConnection

from faults.servers import Nursery, ServerProcess
from opd.store.files import read_json, read_tail
from opd.store.runs import RunFolder, RunStore
from studio_in_tests import settings, until

NUM_KILLS = 20


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    store = RunStore(tmp_path)
    yield store
    for run in store:
        if (pid := run.pid()) is not None:
            psutil.Process(pid).kill()


def start(server: ServerProcess, name: str, request_id: str, **more: Any) -> str:
    answer = server.post("/api/opd/start", {"request_id": request_id, "config": settings(name), **more})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["run_id"])


def state(server: ServerProcess, run_id: str) -> str:
    return str(server.get(f"/api/opd/status?run_id={run_id}").json()["state"])


async def collect(socket: ClientConnection, seen: list[int], last: int) -> None:
    """Take events up to `last`; each has to be the next one."""
    while not seen or seen[-1] < last:
        frame = json.loads(await socket.recv())
        if frame["type"] == "events":
            seen.extend(item["seq"] for item in frame["items"])


async def test_a_run_does_not_notice_that_its_studio_is_killed(
    store: RunStore, nursery: Nursery, tell: Callable[[str], None]
) -> None:
    server, rng = ServerProcess(nursery, store.root), random.Random(0)
    run_id = start(server, "steps=1000000 rate=200", "request-1")
    run = store.get(run_id)
    process = read_json(run.path / "process.json")
    seen: list[int] = []
    waits = []
    for _ in range(NUM_KILLS):
        last = (seen[-1] if seen else 0) + rng.randint(1, 60)
        async with server.follow(run_id, seen[-1] if seen else 0) as socket:
            await collect(socket, seen, last)
            server.kill()
        server = ServerProcess(nursery, store.root)
        waits.append(server.starting_s)
        assert state(server, run_id) == "running", "the first answer is the true one"
        again = server.post("/api/opd/start", {"request_id": "request-2", "config": settings("steps=1")})
        assert again.status_code == 409, "the device is known to be taken"
    assert read_json(run.path / "process.json") == process, "it is still the same process"
    assert psutil.Process(process["pid"]).is_running()
    assert server.post("/api/opd/stop", {"run_id": run_id}).status_code == 200
    until(lambda: state(server, run_id) == "stopped", "the run to stop when it is asked by another studio")
    async with server.follow(run_id, seen[-1]) as socket:
        await collect(socket, seen, run.summary().seq)
    server.kill()
    assert seen == list(range(1, run.summary().seq + 1)), "nothing lost, nothing twice, nothing out of order"
    assert read_tail(run.log_path, 100_000).count("given keys") == 1
    tell(f"{NUM_KILLS} kills of the server: {len(seen)} events, 0 lost, 0 twice; back after {max(waits):.1f} s at most")


def test_a_run_that_dies_while_there_is_no_studio_is_explained(store: RunStore, nursery: Nursery) -> None:
    server = ServerProcess(nursery, store.root)
    run_id = start(server, "steps=1000000 rate=50", "request-1")
    pid = store.get(run_id).pid()
    server.kill()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: store.get(run_id).pid() is None, "the run to be gone")
    server = ServerProcess(nursery, store.root)
    status = server.get(f"/api/opd/status?run_id={run_id}").json()
    server.kill()
    assert (status["state"], status["resumable"]) == ("interrupted", True)
    assert status["failure"]["code"] == "process_vanished"
    assert "memory" in status["failure"]["message"]


def test_the_queue_survives_its_studio(store: RunStore, nursery: Nursery) -> None:
    """The second run fails, the third has its turn all the same."""
    server = ServerProcess(nursery, store.root)
    first = start(server, "steps=1000000 rate=50", "request-1")
    second = start(server, "steps=2 fail", "request-2", queue=True)
    third = start(server, "steps=2", "request-3", queue=True)
    assert [state(server, run_id) for run_id in (first, second, third)] == ["running", "queued", "queued"]
    server.kill()
    server = ServerProcess(nursery, store.root)
    assert [state(server, run_id) for run_id in (first, second, third)] == ["running", "queued", "queued"]
    server.post("/api/opd/stop", {"run_id": first})
    until(lambda: state(server, third) == "done", "the queue to end")
    assert [state(server, run_id) for run_id in (first, second, third)] == ["stopped", "failed", "done"]
    server.kill()
    assert ended(store.get(first)) < ended(store.get(second)) < ended(store.get(third))


def ended(run: RunFolder) -> float:
    return float(read_json(run.path / "exit.json")["time"])
