"""Contenders in processes of their own, and letting them take turns.

In: a `Workload`. Out: each contender's check, then rounds of one optimizer step each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import opd
from opd.bench.worker import Check, Step
from opd.bench.workloads import Workload
from opd.errors import RunFailedError


class Lineup:
    """A context manager: processes that wait for their turn, ended when it is left.

    Args:
        contenders: under any label, which trainer and what it works on.
    """

    def __init__(self, contenders: Mapping[str, tuple[str, Workload]], *, device: str, threads: int, scratch: Path):
        self.checks: dict[str, Check] = {}
        self._workers: dict[str, _Worker] = {}
        self._settings = {"device": device, "threads": threads}
        self._contenders, self._scratch = contenders, scratch

    def __enter__(self) -> Lineup:
        try:
            # One after the other: together they would only be in each other's way.
            for label, (name, workload) in self._contenders.items():
                what = {"name": name, "workload": workload.model_dump(mode="json")}
                job = {**self._settings, **what, "scratch": str(self._scratch / label)}
                self._workers[label] = _Worker(name, job, self._scratch / f"{label}.log")
                self.checks[label] = Check(**self._workers[label].read())
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def rounds(self) -> Iterator[dict[str, Step]]:
        """Endless rounds of one step each. Who begins moves on by one each round, so that nobody always follows
        the same neighbour."""
        order = list(self._workers)
        while True:
            yield {name: self._workers[name].step() for name in order}
            order = [*order[1:], order[0]]

    def _close(self) -> None:
        for worker in self._workers.values():
            worker.close()


class _Worker:
    def __init__(self, name: str, job: dict[str, Any], log: Path):
        self._name, self._log = name, log
        log.parent.mkdir(parents=True, exist_ok=True)
        package = str(Path(opd.__file__).parents[1])
        path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
        quiet = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "opd.bench.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **quiet, "PYTHONPATH": path, "OMP_NUM_THREADS": str(job["threads"])},
            )
        self._send(json.dumps(job))

    def step(self) -> Step:
        self._send("step")
        return Step(**self.read())

    def read(self) -> dict[str, Any]:
        """The next reply.

        Raises:
            RunFailedError: the process ended instead.
        """
        line = _pipe(self._process.stdout).readline()
        if not line:
            self._process.wait()
            tail = self._log.read_text("utf-8", "replace").strip().splitlines()[-1:]
            raise RunFailedError(
                f"The measurement of {self._name} ended with code {self._process.returncode}, expected a reply: "
                f"{' '.join(tail) or 'it wrote nothing'}",
                hint="Not enough memory is the usual reason; take a smaller workload.",
            )
        reply: dict[str, Any] = json.loads(line)
        return reply

    def close(self) -> None:
        """End the process by closing its input; kill it if that does not help."""
        _pipe(self._process.stdin).close()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _pipe(self._process.stdout).close()

    def _send(self, line: str) -> None:
        try:
            pipe = _pipe(self._process.stdin)
            pipe.write(line + "\n")
            pipe.flush()
        except BrokenPipeError:
            self.read()  # says why it ended


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None  # noqa: S101  # both ends were asked for
    return stream
