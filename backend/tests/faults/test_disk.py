"""A disk that is full, fails, or nearly so: the checkpoint before verifies, the run pauses and can go on."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections import namedtuple
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from faults.comparison import model_digest, stored_events
from faults.harness import Torture
from opd.errors import StorageError
from opd.events import AlarmRaised
from opd.pipeline.run import run_folder
from opd.training import checkpoint
from run_processes import RunProcess

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(scope="module")
def torture(tmp_path_factory: pytest.TempPathFactory) -> Torture:
    return Torture(tmp_path_factory.mktemp("disk"))


def fail_to_sync() -> None:
    """From now on the disk takes nothing for sure: every fsync fails."""

    def fsync(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    os.fsync = fsync


def fill_the_disk() -> None:
    """From now on no file may grow beyond a few kilobytes: a real refusal, by the system, of every larger write."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def alarms(run: Any) -> list[AlarmRaised]:
    return [s.event for s in stored_events(run) if isinstance(s.event, AlarmRaised)]


def test_a_full_disk_pauses_the_run_and_it_goes_on_to_the_same_bits(torture: Torture) -> None:
    run = torture.store.create(torture.config)
    process = RunProcess(run, fault_at="stage", occurrence=3, fault=fill_the_disk)
    assert process.wait() == 1, process.log()
    assert run.state() == "paused", process.log()
    failure = run.failure()
    assert failure is not None
    assert failure.code == "storage_failed"
    assert "resume" in failure.hint
    found, rejected = checkpoint.newest_verified(run.checkpoints_path)
    assert rejected == []
    assert found is not None
    assert found.step == 2
    assert [path.name for path in run.checkpoints_path.iterdir() if path.name.startswith(".")] == []
    assert RunProcess(run).wait() == 0
    assert model_digest(run) == model_digest(torture.whole)


def test_a_failed_fsync_is_not_tried_again(torture: Torture) -> None:
    run = torture.store.create(torture.config)
    process = RunProcess(run, fault_at="written", occurrence=3, fault=fail_to_sync)
    assert process.wait() == 1, process.log()
    assert run.state() == "paused", process.log()
    found, rejected = checkpoint.newest_verified(run.checkpoints_path)
    assert rejected == []
    assert found is not None
    assert found.step == 2
    (alarm,) = [alarm for alarm in alarms(run) if alarm.code == "storage_failed"]
    assert (alarm.severity, alarm.what) == ("critical", "The run has paused.")
    assert "step 3" in alarm.why
    assert RunProcess(run).wait() == 0
    assert model_digest(run) == model_digest(torture.whole)


def test_a_log_that_cannot_be_written_pauses_the_run(torture: Torture) -> None:
    """The limit is met by the event log first, between two checkpoints."""
    run = torture.store.create(torture.config)
    process = RunProcess(run, fault_at="pruned", occurrence=3, fault=fill_the_disk)
    assert process.wait() == 1
    assert run.state() == "paused", process.log()
    assert "event log" in str(run.failure())
    found, _ = checkpoint.newest_verified(run.checkpoints_path)
    assert found is not None
    assert found.step == 3
    assert RunProcess(run).wait() == 0
    assert model_digest(run) == model_digest(torture.whole)


def test_too_little_room_is_said_before_it_is_used_up(torture: Torture, monkeypatch: pytest.MonkeyPatch) -> None:
    run = torture.store.create(torture.config)
    size, free = checkpoint.last_size(torture.whole.checkpoints_path), [1.5]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, int(size * free[0])))

    def fill(event: Any) -> None:
        if event.kind == "checkpoint_saved" and event.step == 4:
            free[0] = 0.5

    assert run_folder(run, observe=fill) == 1
    assert run.state() == "paused"
    assert [(a.code, a.step) for a in alarms(run) if a.code in ("disk_low", "storage_failed")] == [
        ("disk_low", 0),
        ("storage_failed", 5),
    ]
    found, _ = checkpoint.newest_verified(run.checkpoints_path)
    assert found is not None
    assert found.step == 4
    monkeypatch.undo()
    assert RunProcess(run).wait() == 0
    assert model_digest(run) == model_digest(torture.whole)


def test_a_run_without_room_for_a_checkpoint_does_not_begin(torture: Torture, monkeypatch: pytest.MonkeyPatch) -> None:
    run = torture.store.create(torture.config)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, 10_000))
    assert run_folder(run) == 1
    assert (run.state(), run.summary().step) == ("paused", 0)
    assert "no room" in str(run.failure())


def test_whichever_operation_fails_a_whole_checkpoint_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tell: Callable[[str], None]
) -> None:
    """The first, the second, the third … operation on the disk fails, until none does."""
    checkpoint.commit(tmp_path, 1, write, {}, keep=2)
    num_failed = 0
    for number in count():
        failing = FailingDisk(number)
        for name in ("fsync", "replace", "mkdir"):
            monkeypatch.setattr(os, name, failing.wrap(getattr(os, name)))
        try:
            checkpoint.commit(tmp_path, 2, write, {}, keep=2)
        except StorageError:
            num_failed += 1
        finally:
            monkeypatch.undo()
        found, rejected = checkpoint.newest_verified(tmp_path)
        assert rejected == []
        assert found is not None
        assert not (tmp_path / ".stage-000002").exists()
        if failing.left >= 0:
            break
    tell(f"{num_failed} operations on the disk failed one by one: a whole checkpoint each time")
    assert num_failed >= 6
    assert checkpoint.newest_verified(tmp_path)[0].step == 2  # type: ignore[union-attr]  # there is one


def write(folder: Path) -> None:
    (folder / "a.bin").write_bytes(bytes(2048))
    (folder / "b.json").write_text("{}")


class FailingDisk:
    """The nth operation of those that are wrapped fails, once."""

    def __init__(self, left: int):
        self.left = left

    def wrap(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left == -1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return operation(*args, **options)

        return call
