"""`opd studio` as a process that tests start, kill and start again on the same port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType

import psutil
from playwright.sync_api import Cookie

from opd.store.runs import RunStore
from warm_interpreters import ADDRESS, address

TESTS = Path(__file__).resolve().parents[1]


class StudioProcess:
    """A studio of one data folder. A context manager; leaving it ends the studio and its runs.

    Args:
        folder: the data folder.
        warm: its runs are forks of a process that has imported what they need (`warm_interpreters.py`).
        outgoing: a file in which the studio and its cold runs note what they ask of other hosts (`outgoing/`).
    """

    def __init__(self, folder: Path, *, warm: bool = True, outgoing: Path | None = None):
        self.folder, self._outgoing = folder, outgoing
        self._program = "warm_interpreters" if warm else "opd.cli"
        self.port = _free_port()
        self.cookies: list[Cookie] = []
        """A browser's session with it, once there is one; it survives a restart."""
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> str:
        """Start the studio; answers the address that it prints, which works once."""
        paths = [str(TESTS.parent), str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
        env = {
            **os.environ,
            "OPD_DATA_DIR": str(self.folder),
            "PYTHONPATH": os.pathsep.join(paths),
            ADDRESS: address(),
        }
        if self._outgoing is not None:
            env["OPD_OUTGOING"] = str(self._outgoing)
            env["PYTHONPATH"] = os.pathsep.join([env["PYTHONPATH"], str(Path(__file__).parent / "outgoing")])
            env.pop("HF_HUB_DISABLE_TELEMETRY", None)  # which the tests set for themselves
        command = [sys.executable, "-m", self._program, "studio", "--no-browser", "--port", str(self.port)]
        self._process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True, bufsize=1)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("Open "):
                return line.removeprefix("Open ").strip()
        raise AssertionError(f"opd studio ended with {self._process.wait()} before it printed an address")

    def fresh_address(self) -> str:
        """An address that has not been used yet; restarts the studio, as a person would to get one."""
        self.kill()
        return self.start()

    def kill(self) -> None:
        """End the studio without a word to it. Its runs go on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None

    def __enter__(self) -> StudioProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        for run in RunStore(self.folder):
            pid = run.pid()
            if pid is not None:
                psutil.Process(pid).kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
