"""The studio's own memory: start requests, uploads, settings; and the essence of an event log."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opd.errors import StorageError
from opd.events import (
    CheckpointSaved,
    PhaseProgressed,
    PhaseStarted,
    RunEvent,
    RunResumed,
    SampleRecorded,
    StepLogged,
    fold,
)
from opd.store.events_db import EventReader, EventWriter
from opd.store.studio import DatasetRow, StudioDb

EVENTS: st.SearchStrategy[RunEvent] = st.one_of(
    st.builds(
        StepLogged,
        stage=st.sampled_from(["distillation", "warm_start", "baseline"]),
        step=st.integers(1, 50),
        metrics=st.just({"loss": 1.0}),
    ),
    st.builds(PhaseStarted, phase=st.sampled_from(["loading", "distilling"]), total=st.none() | st.integers(1, 9)),
    st.builds(
        PhaseProgressed, phase=st.just("distilling"), done=st.integers(0, 9), total=st.none() | st.integers(1, 9)
    ),
    st.builds(
        SampleRecorded,
        step=st.integers(0, 9),
        author=st.just("student"),
        prompt_id=st.just("p"),
        prompt=st.just("q"),
        text=st.just("a"),
    ),
    st.builds(
        RunResumed, step=st.integers(0, 50), exactness=st.sampled_from(["exact", "continued"]), reason=st.just("")
    ),
    st.builds(CheckpointSaved, step=st.integers(0, 50), num_bytes=st.just(1), duration_s=st.just(0.1)),
)


@given(st.lists(EVENTS, max_size=40), st.integers(0, 40))
@settings(deadline=None, max_examples=60)
def test_the_essence_folds_to_the_same_summary(events: list[RunEvent], known: int) -> None:
    path = Path(tempfile.mkdtemp(), "events.db")
    writer = EventWriter(path, create=True)
    for event in events:
        writer.append(event)
    writer.close()
    with EventReader(path) as reader:
        everything = reader.read()
        assert fold(reader.read_essence()) == fold(everything)
        earlier = fold(everything[:known])
        assert fold(reader.read_essence(earlier.seq), earlier) == fold(everything)


def test_the_essence_of_a_long_run_is_short(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "events.db", create=True)
    writer.append(*(StepLogged(step=step, metrics={"loss": 1.0}) for step in range(1, 5001)))
    assert len(EventReader(tmp_path / "events.db").read_essence()) == 1


def test_what_a_damaged_log_says(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    writer = EventWriter(path, create=True)
    writer.append(*(StepLogged(step=step, metrics={"loss": 1.0}) for step in range(1, 2000)))
    writer.close()
    content = bytearray(path.read_bytes())
    content[4096 : len(content)] = bytes(len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StorageError) as error, EventReader(path) as reader:
        reader.read()
    assert "checkpoint" in error.value.hint


def test_requests_datasets_and_settings_are_there_after_a_restart(tmp_path: Path) -> None:
    db = StudioDb(tmp_path / "studio.db")
    assert db.request("request-1") is None
    db.remember_request("request-1", "run-1", "digest")
    db.add_dataset(DatasetRow("d-1", "mine.jsonl", "d-1.jsonl", 1.0, "{}"))
    db.add_dataset(DatasetRow("d-2", "other.jsonl", "d-2.jsonl", 2.0, "{}"))
    db.put_setting("theme", {"dark": True})
    db.close()
    db = StudioDb(tmp_path / "studio.db")
    known = db.request("request-1")
    assert known is not None
    assert (known.run_id, known.started) == ("run-1", False)
    db.mark_started("request-1")
    known = db.request("request-1")
    assert known is not None
    assert known.started
    assert [row.id for row in db.datasets()] == ["d-2", "d-1"]
    db.remove_dataset("d-2")
    assert [row.id for row in db.datasets()] == ["d-1"]
    assert (db.setting("theme"), db.setting("none", 3)) == ({"dark": True}, 3)
    db.close()


def test_one_request_cannot_be_bound_twice(tmp_path: Path) -> None:
    db = StudioDb(tmp_path / "studio.db")
    db.remember_request("request-1", "run-1", "digest")
    with pytest.raises(StorageError):
        db.remember_request("request-1", "run-2", "digest")
    known = db.request("request-1")
    assert known is not None
    assert known.run_id == "run-1"
    db.close()


def test_a_damaged_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "studio.db"
    db = StudioDb(path)
    for number in range(500):
        db.put_setting(f"key-{number}", "x" * 200)
    db.close()
    content = bytearray(path.read_bytes())
    content[8192:40960] = b"\xaa" * (40960 - 8192)
    path.write_bytes(content)
    with pytest.raises(StorageError) as error:
        StudioDb(path)
    assert "Runs are not in it" in error.value.hint
    assert path.read_bytes() == bytes(content)
