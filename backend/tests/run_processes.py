"""Runs and commands as processes that start at once: torch is imported a single time, and each is a fork.

What runs in the fork is what `python -m opd.pipeline` runs. A run that is to die at a named point of a checkpoint's
commit patches only the observer of those points, which the code under test calls anyway; the death is a real SIGKILL.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from opd.store.runs import RunFolder

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["warm_fork"])


@functools.cache
def start_server() -> None:
    """Start the process that CONTEXT forks from; it has to find `warm_fork`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        forkserver.ensure_running()


Fault = Callable[[], None]
"""Something that goes wrong inside a run's process; a function of a module, so that it can be sent there."""


class RunProcess:
    """A run, or a resume of it, in a process of its own.

    Args:
        fault_at: name of a point of the checkpoint's commit at which `fault` happens inside the process…
        occurrence: …the nth time it gets there…
        step: …or the commit of this step, if it is given.
        fault: what happens; by default the process is killed.
        before: called inside the process before the run begins.
    """

    def __init__(
        self,
        run: RunFolder,
        *,
        fault_at: str | None = None,
        occurrence: int = 1,
        step: int | None = None,
        fault: Fault | None = None,
        before: Fault | None = None,
    ):
        start_server()
        self.log_path = run.log_path
        arguments = (run.path, fault_at, occurrence, step, fault or die, before)
        self._process = CONTEXT.Process(target=_run, args=arguments)
        self._process.start()

    def wait(self, timeout_s: float = 300) -> int | None:
        """The exit code, minus the signal's number after a signal; None if it is still at work after the timeout."""
        self._process.join(timeout_s)
        return self._process.exitcode

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def send(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        self._process.kill()
        self._process.join()

    def log(self) -> str:
        return self.log_path.read_text()[-3000:]


class CommandProcess:
    """`opd ARGUMENTS` as a process of its own that has ML packages ready; its output goes to files.

    Args:
        folder: where the output goes.
        environment: what differs from ours.
    """

    def __init__(self, *arguments: str, folder: Path, **environment: str):
        folder.mkdir(exist_ok=True)
        self._out, self._err = folder / "stdout", folder / "stderr"
        for path in (self._out, self._err):
            path.touch()
        start_server()
        self._process = CONTEXT.Process(target=_command, args=(arguments, self._out, self._err, environment))
        self._process.start()

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def wait(self, timeout_s: float = 300) -> int | None:
        """The exit code, minus the signal's number after a signal; None if it is still at work after the timeout."""
        self._process.join(timeout_s)
        return self._process.exitcode

    def send(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)


def _command(arguments: tuple[str, ...], out: Path, err: Path, environment: dict[str, str]) -> None:
    from opd.cli import run

    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which the fork server ignores
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    sys.exit(run(list(arguments)))


def die() -> None:
    """`kill -9` from the inside."""
    os.kill(os.getpid(), signal.SIGKILL)


def _run(path: Path, point: str | None, occurrence: int, step: int | None, fault: Fault, before: Fault | None) -> None:
    """The child: one run, or a resume of it, that meets a fault at the nth time, or at the step, it reaches `point`."""
    assert "warm_fork" in sys.modules, "the server has imported nothing: every run would, for seconds"
    from nurse import keep_a_nurse
    from opd.pipeline.run import run_folder
    from opd.training import checkpoint

    keep_a_nurse()
    log = os.open(path / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if point is not None:
        left = [occurrence]

        def meet(reached: str, committed: int) -> None:
            if reached == point and step in (None, committed):
                left[0] -= 1
                if left[0] == 0:
                    fault()

        commit = checkpoint.commit

        def observed(root: Path, committed: int, *args: Any, **options: Any) -> checkpoint.Checkpoint:
            return commit(root, committed, *args, **{**options, "at": lambda reached: meet(reached, committed)})

        checkpoint.commit = observed
    if before is not None:
        before()
    os._exit(run_folder(RunFolder(path), take_signals=True))
