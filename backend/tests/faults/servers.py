"""Studios as processes that start at once and can be killed: forks of a process that has imported the server.

`python servers.py` is that process: for every data folder on its stdin it forks a studio and prints its pid. It holds
no ML package, so the memory of a studio is what it is in use.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
from websockets.asyncio.client import ClientConnection, connect

import opd
from opd.api.access import read_token
from opd.store.files import read_json
from opd.teachers.addresses import tls_context
from studio_in_tests import LIGHT_PIPELINE, until


class Nursery:
    """The process that forks studios; ends, with all of them, when it is closed."""

    def __init__(self) -> None:
        here = Path(__file__).resolve()
        paths = os.pathsep.join([str(Path(opd.__file__).parents[1]), str(here.parents[1])])
        self._process = subprocess.Popen(
            [sys.executable, str(here)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": paths},
        )
        self._pids: list[int] = []

    def fork(self, data_dir: Path) -> psutil.Process:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{data_dir}\n")
        self._process.stdin.flush()
        self._pids.append(int(self._process.stdout.readline()))
        return psutil.Process(self._pids[-1])

    def close(self) -> None:
        for pid in filter(psutil.pid_exists, self._pids):
            os.kill(pid, signal.SIGKILL)
        self._process.communicate()


class ServerProcess:
    """A studio of a data folder in a process of its own, answering when this returns. Its runs have no model."""

    def __init__(self, nursery: Nursery, data_dir: Path):
        (data_dir / "studio.json").unlink(missing_ok=True)
        begun = time.monotonic()
        self.process = nursery.fork(data_dir)
        owner = until(lambda: read_json(data_dir / "studio.json"), "the studio to take its folder")
        self.url = str(owner["url"])
        self._headers = {
            "authorization": f"Bearer {read_token(data_dir)}", "x-opd": "1", "content-type": "application/json",
        }  # fmt: skip
        until(self._answers, "the studio to answer")
        self.starting_s = time.monotonic() - begun

    def _answers(self) -> bool:
        try:
            return self.get("/api/runs").status_code == 200
        except httpx2.TransportError:
            return False

    def get(self, path: str) -> httpx2.Response:
        return self._ask("GET", path)

    def post(self, path: str, body: Any) -> httpx2.Response:
        return self._ask("POST", path, json.dumps(body))

    def _ask(self, method: str, path: str, content: str = "") -> httpx2.Response:
        return httpx2.request(
            method, self.url.rstrip("/") + path, headers=self._headers, content=content, timeout=60,
            trust_env=False, verify=tls_context(trust_env=False),
        )  # fmt: skip

    @asynccontextmanager
    async def follow(self, run_id: str, after: int) -> AsyncIterator[ClientConnection]:
        url = f"{self.url.replace('http', 'ws')}api/opd/ws?run_id={run_id}&after={after}"
        headers = {"authorization": self._headers["authorization"]}
        async with connect(
            url,
            additional_headers=headers,
            proxy=None,
            max_size=None,
            compression=None,
            open_timeout=None,
            ping_interval=None,
        ) as socket:
            yield socket

    def rss(self) -> int:
        """Memory of the server's process, in bytes."""
        return int(self.process.memory_info().rss)

    def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        self.process.kill()
        self.process.wait()


def _serve(data_dir: Path) -> None:
    import opd.jobs
    from opd.end_request import EndRequest
    from opd.main import StudioServer

    opd.jobs.PIPELINE = LIGHT_PIPELINE
    with EndRequest() as end, StudioServer(data_dir, port=0) as server:
        server.wait(end)


def main() -> None:
    """Fork a studio for every line."""
    import opd.main  # noqa: F401 - so that every fork has it

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them, so the system takes them off its table
    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(2, 1)
            _serve(Path(line.strip()))
            os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
