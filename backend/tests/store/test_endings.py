"""How a run whose process could not speak for itself is explained."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import opd
from opd.config import parse_config
from opd.store.files import write_json
from opd.store.runs import RunFolder, RunStore


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    settings = {"student": {"model": "s"}, "teacher": {"type": "local", "model": "t"}, "data": {"path": "p.jsonl"}}
    return RunStore(tmp_path).create(parse_config(settings))


def gone() -> dict[str, float]:
    """A process that has ended and whose place may be taken."""
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    found = {"pid": child.pid, "create_time": psutil.Process(child.pid).create_time()}
    child.wait()
    return found


def test_nobody_saw_the_end(run: RunFolder) -> None:
    write_json(run.path / "process.json", {**gone(), "parent": gone()})
    failure = run.failure()
    assert run.state() == "interrupted"
    assert failure is not None
    assert failure.code == "process_vanished"
    assert "memory" in failure.message
    assert "Resume" in failure.hint


def test_whoever_started_it_is_asked_first(run: RunFolder) -> None:
    me = {"pid": os.getpid(), "create_time": psutil.Process().create_time()}
    process = gone()
    write_json(run.path / "process.json", {**process, "parent": me})
    assert run.failure() is None, "its parent lives and will say how it ended"
    run.record_death(int(process["pid"]), -signal.SIGKILL)
    failure = run.failure()
    assert failure is not None
    assert failure.code == "process_killed"


def test_a_zombie_is_no_running_run(run: RunFolder) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    run.record_process(child.pid)
    assert run.state() == "running"
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has taken it off the table
    assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
    assert run.state() == "interrupted"
    child.communicate()


def test_a_run_that_has_ended_but_does_not_exit_has_ended(run: RunFolder) -> None:
    run.record_process(os.getpid())
    assert run.state() == "running"
    run.end("done", step=3)
    assert run.state() == "done"


def test_a_stopped_machine_is_not_a_dead_run(run: RunFolder) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    run.record_process(child.pid)
    os.kill(child.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    assert run.state() == "running"
    os.kill(child.pid, signal.SIGCONT)
    child.kill()
    child.communicate()


def test_a_crash_in_a_library_leaves_its_traceback_in_the_log(run: RunFolder) -> None:
    """The real entrance of a run, hit by a segmentation fault while it waits for its keys."""
    with run.log_path.open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-X", "importtime", "-m", "opd.pipeline", str(run.path)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(Path(opd.__file__).parents[1])},
        )
    record = {"pid": child.pid, "create_time": psutil.Process(child.pid).create_time()}
    write_json(run.path / "process.json", {**record, "parent": gone()})
    while "opd.store.runs" not in run.log_path.read_text():  # its last import before it reads its keys
        assert child.poll() is None, run.log_path.read_text()[-2000:]
    os.kill(child.pid, signal.SIGSEGV)
    assert child.wait() == -signal.SIGSEGV
    failure = run.failure()
    assert failure is not None
    assert failure.code == "process_crashed"
    assert "Segmentation fault" in failure.message
