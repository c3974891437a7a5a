"""The run store: folders, derived state, event log and chart buckets, on real SQLite files."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opd.config import RunConfig, parse_config
from opd.errors import BusyError, NotFoundError
from opd.events import AlarmRaised, PhaseStarted, RunFailure, RunResumed, StepLogged, StoredEvent, fold
from opd.store.events_db import EventReader, EventWriter
from opd.store.files import write_json
from opd.store.runs import RunStore


def config() -> RunConfig:
    return parse_config(
        {"student": {"model": "s"}, "teacher": {"type": "local", "model": "t"}, "data": {"path": "p.jsonl"}}
    )


def test_a_run_is_found_again_with_its_own_config(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    run = store.create(config())
    assert store.get(run.run_id).config() == config()
    assert [r.run_id for r in store] == [run.run_id]


@pytest.mark.parametrize("run_id", ["../x", "a/b", "", ".hidden", "A", "x" * 65, "nope"])
def test_ids_are_never_paths(tmp_path: Path, run_id: str) -> None:
    (tmp_path / "runs").mkdir()
    with pytest.raises(NotFoundError):
        RunStore(tmp_path).get(run_id)


def test_state_is_derived_from_the_process_and_the_exit_record(tmp_path: Path) -> None:
    run = RunStore(tmp_path).create(config())
    assert run.state() == "queued"
    lock = run.begin()
    assert run.state() == "running"
    run.request_stop("save")
    assert run.state() == "stopping"
    run.end("failed", step=3, error=RunFailure(code="x", message="m"))
    assert run.state() == "failed"
    assert run.failure() == RunFailure(code="x", message="m")
    lock.release()
    run.begin().release()
    assert run.state() == "running"
    assert run.stop_requested() is None


def test_a_process_that_is_gone_leaves_an_interrupted_run(tmp_path: Path) -> None:
    run = RunStore(tmp_path).create(config())
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    write_json(run.path / "process.json", {"pid": child.pid, "create_time": psutil.Process().create_time()})
    assert run.state() == "interrupted"
    write_json(run.path / "process.json", {"pid": psutil.Process().pid, "create_time": 1.0})
    assert run.state() == "interrupted", "a reused pid is not the run"


def test_only_one_process_holds_a_run_and_an_active_run_is_not_deleted(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    run = store.create(config())
    lock = run.begin()
    code = (
        "import sys; from pathlib import Path; from opd.store.runs import RunFolder\n"
        "from opd.errors import BusyError\n"
        "try: RunFolder(Path(sys.argv[1])).begin()\nexcept BusyError as error: print(error.code)"
    )
    out = subprocess.run([sys.executable, "-c", code, str(run.path)], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "busy"
    with pytest.raises(BusyError):
        store.delete(run.run_id)
    lock.release()
    run.end("done", step=1)
    store.delete(run.run_id)
    assert list(store) == []


def test_events_are_numbered_without_gaps_and_go_on_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    writer = EventWriter(path)
    assert writer.append(PhaseStarted(phase="loading")) == 1
    writer.close()
    writer = EventWriter(path)
    assert writer.append(StepLogged(step=1, metrics={"loss": 1.0}), StepLogged(step=2, metrics={"loss": 2.0})) == 3
    assert [e.seq for e in EventReader(path).read()] == [1, 2, 3]
    assert [e.seq for e in EventReader(path).read(after=2)] == [3]


def test_a_reader_sees_that_something_was_written(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "events.db")
    reader = EventReader(tmp_path / "events.db")
    before = reader.data_version()
    assert reader.data_version() == before
    writer.append(PhaseStarted(phase="loading"))
    assert reader.data_version() != before


def test_a_resume_supersedes_later_steps_of_the_distillation_only(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "events.db")
    for stage in ("warm_start", "baseline"):
        writer.append(*(StepLogged(stage=stage, step=s, metrics={"loss": 9.0}) for s in range(1, 8)))
    writer.append(*(StepLogged(step=s, metrics={"loss": float(s), "time/rollout_s": 1.0}) for s in range(1, 6)))
    writer.append(RunResumed(step=3, exactness="exact", reason="killed"))
    reader = EventReader(tmp_path / "events.db")
    buckets = reader.buckets(["loss", "time/rollout_s", "warm_start/loss", "baseline/loss"])
    assert [b.last_step for b in buckets["loss"]] == [1, 2, 3]
    assert [b.last_step for b in buckets["time/rollout_s"]] == [1, 2, 3]
    assert len(buckets["warm_start/loss"]) == len(buckets["baseline/loss"]) == 7
    summary = fold(reader.read())
    assert (summary.step, summary.exactness, summary.num_resumes) == (3, "exact", 1)


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=300),
    st.integers(1, 50),
)
def test_buckets_keep_extremes_and_every_point(values: list[float | None], max_points: int) -> None:
    writer = EventWriter(path := Path(tempfile.mkdtemp(), "events.db"))
    writer.append(*(StepLogged(step=i + 1, metrics={"loss": v}) for i, v in enumerate(values)))
    buckets = EventReader(path).buckets(["loss"], max_points=max_points)["loss"]
    writer.close()
    assert len(buckets) <= max_points
    present = [v for v in values if v is not None]
    assert sum(b.num for b in buckets) == len(present)
    assert sum(b.num_missing for b in buckets) == len(values) - len(present)
    if present:
        assert max(b.max for b in buckets if b.max is not None) == max(present)
        assert min(b.min for b in buckets if b.min is not None) == min(present)
    assert [b.first_step for b in buckets] == sorted(b.first_step for b in buckets)


def test_values_that_are_no_numbers_are_gaps(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "events.db")
    writer.append(StepLogged(step=1, metrics={"loss": float("nan")}), StepLogged(step=2, metrics={"loss": None}))
    (bucket,) = EventReader(tmp_path / "events.db").buckets(["loss"], max_points=1)["loss"]
    assert (bucket.num, bucket.num_missing, bucket.max) == (0, 2, None)
    assert isinstance(EventReader(tmp_path / "events.db").read()[0], StoredEvent)


def test_alarms_of_steps_that_come_again_are_not_said_twice() -> None:
    def alarm(step: int, code: str = "x") -> AlarmRaised:
        return AlarmRaised(code=code, severity="warning", step=step, what="w", why="y", advice="a")

    story = [alarm(2), alarm(5), alarm(4, "storage_failed"), RunResumed(step=4, exactness="exact", reason=""), alarm(5)]
    stored = [StoredEvent(seq=n, time=0.0, event=event) for n, event in enumerate(story, 1)]
    assert [raised.step for raised in fold(stored).alarms] == [2, 5]
