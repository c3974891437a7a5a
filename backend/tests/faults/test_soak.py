"""A studio in use for a quarter of an hour: run after run, tabs that come and go. Nothing of the server may grow."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from websockets.exceptions import ConnectionClosed

from faults.servers import Nursery, ServerProcess
from opd.store.runs import RunStore
from studio_in_tests import settings

NUM_TABS = 12
DEVICES = ("cpu", "cuda", "mps")  # the light pipeline computes nothing, so three runs go side by side
SAMPLE_S = 1.0
ASKED = ("/api/runs", "/api/system", "/api/teachers", "/api/datasets", "/api/opd/metrics?run_id={}", "/api/runs/{}")


@dataclass(frozen=True)
class Sample:
    """The server's process at one moment."""

    seconds: float
    rss: int
    descriptors: int
    threads: int


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    nursery = Nursery()
    yield ServerProcess(nursery, tmp_path)
    for run in RunStore(tmp_path):
        if (pid := run.pid()) is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(pid).kill()
    nursery.close()


class Use:
    """What people do to a studio, until `end`."""

    def __init__(self, server: ServerProcess, end: float):
        self.server, self.end, self.rng = server, end, random.Random(0)
        self.runs: list[str] = []
        self.num_events = self.num_reconnects = self.num_requests = 0

    async def ask(self, path: str, body: Any = None) -> Any:
        """A request; what it is answered with."""
        self.num_requests += 1
        call = (self.server.get, path) if body is None else (self.server.post, path, body)
        answer = await asyncio.to_thread(*call)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def train(self, device: str) -> None:
        """One run after the other on a device."""
        number = 0
        while time.monotonic() < self.end:
            number += 1
            body = {
                "request_id": f"soak-{device}-{number}",
                "config": settings("steps=400 rate=50", device=device),
            }
            run_id = (await self.ask("/api/opd/start", body))["run_id"]
            self.runs.append(run_id)
            while (await self.ask(f"/api/opd/status?run_id={run_id}"))["state"] in ("starting", "running"):  # noqa: ASYNC110
                await asyncio.sleep(1)

    async def browse(self) -> None:
        """A tab: it follows a run for a while, drops the line without a word, and comes back elsewhere."""
        while time.monotonic() < self.end:
            if not self.runs:
                await asyncio.sleep(0.1)
                continue
            run_id, leaves = self.rng.choice(self.runs[-6:]), time.monotonic() + self.rng.uniform(0.5, 10)
            with contextlib.suppress(ConnectionClosed, TimeoutError):
                async with self.server.follow(run_id, 0) as socket:
                    while (left := leaves - time.monotonic()) > 0:
                        frame = json.loads(await asyncio.wait_for(socket.recv(), left))
                        self.num_events += len(frame.get("items", []))
                    socket.transport.abort()
            self.num_reconnects += 1
            await self.ask(self.rng.choice(ASKED).format(run_id))

    async def watch(self) -> list[Sample]:
        """The server's figures, once a second."""
        samples, begun = [], time.monotonic()
        while time.monotonic() < self.end:
            process = self.server.process
            samples.append(
                Sample(
                    time.monotonic() - begun,
                    process.memory_info().rss,
                    process.num_fds() if hasattr(process, "num_fds") else process.num_handles(),
                    process.num_threads(),
                )
            )
            await asyncio.sleep(SAMPLE_S)
        return samples


@pytest.mark.torture
async def test_nothing_grows_in_a_quarter_of_an_hour(server: ServerProcess, tell: Callable[[str], None]) -> None:
    minutes = min(15.0, float(os.environ.get("OPD_TORTURE_MINUTES", "30")) / 2)
    use = Use(server, time.monotonic() + minutes * 60)
    work = [use.train(device) for device in DEVICES] + [use.browse() for _ in range(NUM_TABS)]
    samples, *_ = await asyncio.gather(use.watch(), *work)

    settled = [s for s in samples if s.seconds > samples[-1].seconds / 4]  # caches fill in the first quarter
    slope = statistics.linear_regression([s.seconds / 60 for s in settled], [s.rss / 2**20 for s in settled]).slope
    first, last = settled[: len(settled) // 3], settled[-len(settled) // 3 :]
    middle = {
        name: [statistics.median(getattr(s, name) for s in part) for part in (first, last)]
        for name in ("rss", "descriptors", "threads")
    }
    tell(
        f"soak of {minutes:.0f} min: {len(use.runs)} runs, {use.num_reconnects} reconnects of {NUM_TABS} tabs, "
        f"{use.num_events:,} events, {use.num_requests:,} requests; "
        f"server {middle['rss'][0] / 2**20:.0f} → {middle['rss'][1] / 2**20:.0f} MiB ({slope:+.2f} MiB/min), "
        f"{max(s.rss for s in samples) / 2**20:.0f} at most; descriptors {middle['descriptors'][0]:.0f} → "
        f"{middle['descriptors'][1]:.0f}, threads {middle['threads'][0]:.0f} → {middle['threads'][1]:.0f}"
    )
    # An hour of growth would show. In a soak of a minute or two, caches still fill.
    assert slope < max(0.5, 2.5 / minutes)
    assert middle["descriptors"][1] <= middle["descriptors"][0] + 3
    assert middle["threads"][1] <= middle["threads"][0] + 1
