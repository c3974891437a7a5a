"""Starting, stopping and resuming runs: real processes on real folders, only without a model in them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

import opd.jobs
from opd.errors import BusyError, InputError, NotFoundError, StorageError
from opd.jobs import Jobs, devices_clash, needed_keys
from opd.keys import Keys
from opd.store.files import read_json, read_tail
from opd.store.runs import ACTIVE, RunFolder, RunStore
from opd.store.studio import StudioDb
from studio_in_tests import LIGHT_PIPELINE, config, until

pytestmark = pytest.mark.usefixtures("light_runs")
CANARY = "sk-canary-5f1d8e6b7a"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    store = RunStore(tmp_path)
    yield store
    for run in store:
        pid = run.pid()
        if pid is not None and pid != os.getpid():
            psutil.Process(pid).kill()


@pytest.fixture
def db(tmp_path: Path) -> Iterator[StudioDb]:
    db = StudioDb(tmp_path / "studio.db")
    yield db
    db.close()


@pytest.fixture
def jobs(store: RunStore, db: StudioDb) -> Jobs:
    return Jobs(store, Keys(store.root), db)


def ended(run: RunFolder, state: str = "done") -> None:
    until(lambda: run.state() == state, f"{run.run_id} to be {state}")


def test_a_run_is_active_from_the_moment_it_is_started_and_then_ends(jobs: Jobs) -> None:
    run = jobs.start(config("steps=3"))
    assert run.state() in {"running", "done"}
    ended(run)
    assert run.summary().step == 3
    assert "given keys of: []" in read_tail(run.log_path, 1000)


def test_a_run_is_a_session_of_its_own(jobs: Jobs) -> None:
    run = jobs.start(config("steps=1000 rate=50"))
    pid = run.pid()
    assert pid is not None
    assert os.getsid(pid) == pid != os.getsid(0)
    jobs.stop(run.run_id, "save")
    ended(run, "stopped")


def test_a_run_outlives_whoever_started_it(store: RunStore, jobs: Jobs) -> None:
    code = (
        "import sys, opd.jobs\n"
        "from studio_in_tests import LIGHT_PIPELINE, config\n"
        "from opd.keys import Keys; from opd.store.runs import RunStore; from pathlib import Path\n"
        "opd.jobs.PIPELINE = LIGHT_PIPELINE\n"
        "store = RunStore(Path(sys.argv[1]))\n"
        "print(opd.jobs.Jobs(store, Keys(store.root)).start(config('steps=100000 rate=50')).run_id)"
    )
    paths = os.pathsep.join([str(Path(opd.__file__).parents[1]), str(Path(__file__).parent)])
    starter = subprocess.run(
        [sys.executable, "-c", code, str(store.root)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    run = store.get(starter.stdout.strip())
    first = until(lambda: run.summary().step, "the first step")
    until(lambda: run.summary().step > first, "steps after its starter is gone")
    with pytest.raises(BusyError):
        jobs.start(config("steps=1"))
    jobs.stop(run.run_id, "save")
    ended(run, "stopped")


def test_keys_travel_on_the_pipe_only(store: RunStore, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", CANARY)
    monkeypatch.setenv("OPENAI_API_KEY", CANARY + "2")
    run = jobs.start(config("steps=1000 rate=50"))
    until(lambda: "given keys" in read_tail(run.log_path, 1000), "the run to read its keys")
    assert "given keys of: ['huggingface']" in read_tail(run.log_path, 1000), "models by id need the hub's key only"
    pid = run.pid()
    assert pid is not None
    process = psutil.Process(pid)
    assert CANARY not in " ".join(process.cmdline())
    assert CANARY not in repr(process.environ())
    jobs.stop(run.run_id, "save")
    ended(run, "stopped")
    for path in store.root.rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path.name


def test_a_run_is_given_the_keys_of_its_own_teacher_only(tmp_path: Path) -> None:
    assert (
        needed_keys(config(student={"model": str(tmp_path)}, teacher={"type": "local", "model": str(tmp_path)})) == []
    )
    assert needed_keys(config(student={"model": str(tmp_path)})) == ["huggingface"]


def test_fifty_starts_at_once_make_one_run(store: RunStore, jobs: Jobs) -> None:
    barrier = threading.Barrier(50)

    def start(number: int) -> str:
        barrier.wait()
        try:
            return jobs.start(config("steps=1000 rate=50"), request_id=f"request-{number}").run_id
        except BusyError as busy:
            return f"busy {busy.details['run_id']}"

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(start, range(50)))
    (run,) = store
    assert sorted(answers) == sorted([run.run_id, *[f"busy {run.run_id}"] * 49])
    jobs.stop(run.run_id, "save")
    ended(run, "stopped")
    assert read_tail(run.log_path, 10_000).count("given keys") == 1


def test_one_request_repeated_fifty_times_at_once_is_one_run(store: RunStore, jobs: Jobs) -> None:
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: jobs.start(config("steps=3"), request_id="the-same"), range(50)))
    assert {run.run_id for run in answers} == {run.run_id for run in store}
    (run,) = store
    ended(run)
    assert read_tail(run.log_path, 10_000).count("given keys") == 1
    assert jobs.start(config("steps=3"), request_id="the-same").run_id == run.run_id, "also when it is over"


def test_several_processes_starting_at_once_make_one_run(store: RunStore) -> None:
    code = (
        "import sys, opd.jobs\n"
        "from studio_in_tests import config, LIGHT_PIPELINE\n"
        "from opd.keys import Keys; from opd.store.runs import RunStore; from pathlib import Path\n"
        "from opd.errors import BusyError\n"
        "opd.jobs.PIPELINE = LIGHT_PIPELINE\n"
        "store = RunStore(Path(sys.argv[1])); sys.stdin.readline()\n"
        "try: print(opd.jobs.Jobs(store, Keys(store.root)).start(config('steps=10000 rate=20')).run_id)\n"
        "except BusyError as busy: print('busy', busy.details['run_id'])"
    )
    paths = os.pathsep.join([str(Path(opd.__file__).parents[1]), str(Path(__file__).parent)])
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(store.root)],
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    answers = sorted(starter.communicate("go\n")[0].strip() for starter in starters)
    (run,) = store
    assert answers == sorted([run.run_id, *[f"busy {run.run_id}"] * 3])


def test_a_request_id_is_for_one_configuration(jobs: Jobs) -> None:
    run = jobs.start(config("steps=1"), request_id="request-1")
    with pytest.raises(InputError):
        jobs.start(config("steps=2"), request_id="request-1")
    ended(run)
    jobs.delete(run.run_id)
    with pytest.raises(NotFoundError):
        jobs.start(config("steps=1"), request_id="request-1")


def test_a_studio_that_died_before_it_spawned_the_run_spawns_it_on_repeat(
    store: RunStore, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(StorageError):
        jobs.start(config("steps=2"), request_id="request-1")
    (run,) = store
    assert run.state() == "queued"
    monkeypatch.undo()
    monkeypatch.setattr(opd.jobs, "PIPELINE", LIGHT_PIPELINE)
    assert jobs.start(config("steps=2"), request_id="request-1").run_id == run.run_id
    ended(run)


def test_a_stop_asked_for_before_the_process_is_up_is_not_lost(jobs: Jobs) -> None:
    run = jobs.start(config("steps=100000 rate=20"))
    jobs.stop(run.run_id, "save")
    ended(run, "stopped")
    assert run.summary().step <= 1


def test_stop_resume_and_end(jobs: Jobs) -> None:
    run = jobs.start(config("steps=40 rate=40"))
    until(lambda: run.summary().step >= 3, "three steps")
    assert jobs.stop(run.run_id, "save").state() in {"stopping", "stopped"}
    ended(run, "stopped")
    first = run.summary().step
    assert jobs.resume(run.run_id).state() in ACTIVE
    with pytest.raises(BusyError):
        jobs.resume(run.run_id)
    ended(run)
    summary = run.summary()
    assert (summary.step, summary.num_resumes) == (40, 1)
    assert first < 40
    with pytest.raises(InputError, match="nothing to resume"):
        jobs.resume(run.run_id)
    assert jobs.stop(run.run_id, "save").state() == "done", "stopping what has ended changes nothing"


@pytest.mark.parametrize(
    ("how", "code"),
    [
        (f"die={signal.SIGKILL}", "process_killed"),
        (f"die={signal.SIGSEGV}", "process_crashed"),
        ("exit=7", "process_vanished"),
    ],
)
def test_a_process_that_dies_without_a_word_is_explained_and_can_be_resumed(
    jobs: Jobs, how: str, code: str, tell: Callable[[str], None]
) -> None:
    run = jobs.start(config(f"steps=5 {how}"))
    ended(run, "interrupted")
    failure = until(run.failure, "the cause")
    with run.reader() as reader:
        known_s = time.time() - reader.read()[-1].time  # its last word came just before its death
    tell(f"a run that dies ({how}): {failure.code}, known {known_s:.2f} s after its last word")
    assert failure.code == code
    assert failure.hint
    assert not [child for child in psutil.Process().children() if child.status() == psutil.STATUS_ZOMBIE]
    first = read_json(run.path / "process.json")["pid"]
    jobs.resume(run.run_id)
    assert read_json(run.path / "process.json")["pid"] != first
    until(lambda: run.state() == "interrupted" and run.failure(), "the second death")


def test_an_active_run_is_not_deleted(jobs: Jobs, store: RunStore) -> None:
    run = jobs.start(config("steps=100000 rate=20"))
    with pytest.raises(BusyError):
        jobs.delete(run.run_id)
    jobs.stop(run.run_id, "discard")
    ended(run, "stopped")
    jobs.delete(run.run_id)
    assert list(store) == []


def test_the_command_line_takes_the_device_for_its_own_process(jobs: Jobs) -> None:
    run = jobs.claim(config("steps=1"))
    assert (run.state(), run.pid()) == ("running", os.getpid())
    with pytest.raises(BusyError) as busy:
        jobs.start(config("steps=1"))
    assert busy.value.details == {"run_id": run.run_id}
    run.end("stopped", step=0)
    assert jobs.reclaim(run.run_id).state() == "running"
    run.end("done", step=1)


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [("auto", "cpu", True), ("cpu", "cpu", True), ("cpu", "cuda", False), ("cuda", "auto", True)],
)
def test_which_devices_clash(one: str, other: str, clash: bool) -> None:
    assert devices_clash(one, other) is devices_clash(other, one) is clash


def test_runs_on_different_devices_go_side_by_side(jobs: Jobs, store: RunStore) -> None:
    first = jobs.start(config("steps=100000 rate=20", device="cpu"))
    second = jobs.start(config("steps=1", device="cuda"))
    ended(second)
    jobs.stop(first.run_id, "save")
    ended(first, "stopped")
    assert len(list(store)) == 2


def test_a_run_waits_for_its_device_and_starts_when_it_is_free(jobs: Jobs) -> None:
    first = jobs.start(config("steps=100000 rate=20", device="cpu"))
    second = jobs.start(config("steps=1", device="cpu"), request_id="request-2", queue=True)
    third = jobs.start(config("steps=1", device="auto"), queue=True)
    fourth = jobs.start(config("steps=1", device="cuda"), queue=True)
    assert [run.state() for run in (second, third)] == ["queued", "queued"]
    ended(fourth)
    assert jobs.start(config("steps=1", device="cpu"), request_id="request-2", queue=True) == second
    assert jobs.start_queued() == []
    jobs.stop(first.run_id, "save")
    ended(first, "stopped")
    assert jobs.start_queued() == [second], "the third may be for the same device"
    ended(second)
    assert jobs.start_queued() == [third]
    ended(third)
    assert jobs.start_queued() == []


def test_a_queued_run_can_be_stopped_or_deleted_and_the_others_have_their_turn(jobs: Jobs, db: StudioDb) -> None:
    first = jobs.start(config("steps=100000 rate=20"))
    queued = [jobs.start(config(f"steps={steps}"), queue=True) for steps in (1, 2, 3, 4)]
    (queued[0].path / "config.yaml").write_text("not: [a run")
    assert jobs.stop(queued[1].run_id, "save").state() == "stopped"
    jobs.delete(queued[2].run_id)
    jobs.stop(first.run_id, "save")
    ended(first, "stopped")
    assert jobs.start_queued() == [queued[3]]
    assert queued[0].state() == "failed"
    assert db.queued() == []
    ended(queued[3])
    assert jobs.resume(queued[1].run_id).state() in {*ACTIVE, "done"}
    ended(queued[1])


def test_without_queue_a_busy_device_refuses(jobs: Jobs) -> None:
    first = jobs.start(config("steps=100000 rate=20"))
    with pytest.raises(BusyError):
        jobs.start(config("steps=1"))
    jobs.stop(first.run_id, "save")
    ended(first, "stopped")


def test_a_run_that_hangs_is_ended_at_the_second_time_of_asking(jobs: Jobs) -> None:
    run = jobs.start(config("steps=1000000 rate=20 deaf"))
    until(lambda: run.summary().step, "the first step")
    assert jobs.stop(run.run_id, "discard").state() == "stopping"
    assert jobs.stop(run.run_id, "discard").state() == "stopping", "it has its time"
    long_ago = time.time() - 60
    os.utime(run.path / "STOP", (long_ago, long_ago))
    assert jobs.stop(run.run_id, "save").state() == "stopping", "whoever wants it saved does not kill it"
    jobs.stop(run.run_id, "discard")
    os.utime(run.path / "STOP", (long_ago, long_ago))
    assert jobs.stop(run.run_id, "discard").state() == "stopped"
    assert run.pid() is None
    assert run.failure() is None, "a person wanted it"
