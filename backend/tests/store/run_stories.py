"""What a run's folder and its checkpoints have to withstand, told as stories that also run against altered copies.

Each takes the three modules that keep the promises, and an empty folder.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

from opd.config import parse_config
from opd.errors import BusyError, CheckpointDamagedError, NotFoundError, StorageError

POINTS = ("stage", "written", "synced", "manifest", "renamed", "durable", "pruned")


@dataclass(frozen=True)
class Keepers:
    """`opd.store.files`, `opd.store.runs` and `opd.training.checkpoint`, or an altered copy of one of them."""

    files: ModuleType
    runs: ModuleType
    checkpoint: ModuleType


Story = Callable[[Keepers, Path], None]


class Killed(BaseException):
    """A death that nobody catches."""


# --- checkpoints -----------------------------------------------------------------------------------


def save(keepers: Keepers, root: Path, step: int, *, keep: int = 2, **options: Any) -> Any:
    def write(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(bytes([step]) * 1000)
        (folder / "rng.json").write_text(f'{{"step": {step}}}')

    return keepers.checkpoint.commit(root, step, write, {"config_digest": "a"}, keep=keep, **options)


def newest(keepers: Keepers, root: Path) -> tuple[int | None, list[str]]:
    found, rejected = keepers.checkpoint.newest_verified(root, config_digests={"a"})
    return (found.step if found else None), [one.reason for one in rejected]


def a_kill_at_any_point_leaves_the_old_or_the_new(keepers: Keepers, root: Path) -> None:
    for point in POINTS:
        folder = root / point
        save(keepers, folder, 1)

        def die(reached: str, point: str = point) -> None:
            if reached == point:
                raise Killed

        with pytest.raises(Killed):
            save(keepers, folder, 2, at=die)
        done = POINTS.index(point) >= POINTS.index("renamed")
        assert newest(keepers, folder) == (2 if done else 1, [])
        save(keepers, folder, 2)
        assert newest(keepers, folder) == (2, [])


def two_are_kept_and_no_more(keepers: Keepers, root: Path) -> None:
    for step in (1, 2, 3):
        save(keepers, root, step)
    assert sorted(path.name for path in root.iterdir()) == ["step-000002", "step-000003"]
    assert newest(keepers, root)[0] == 3


def all_is_on_disk_before_it_counts(keepers: Keepers, root: Path) -> None:
    order: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        sync, replace = os.fsync, os.replace
        patch.setattr(os, "fsync", lambda fd: (order.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name), sync(fd)))
        patch.setattr(os, "replace", lambda a, b: (order.append(f"-> {Path(b).name}"), replace(a, b)))
        save(keepers, root, 1)
    appears = order.index("-> step-000001")
    assert {"model.safetensors", "rng.json"} <= set(order[:appears])
    assert any("manifest.json" in name for name in order[: order.index("-> manifest.json")])
    assert root.name in order[appears:]


def a_full_disk_costs_only_the_new_one(keepers: Keepers, root: Path) -> None:
    save(keepers, root, 1)

    def fill(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError):
        keepers.checkpoint.commit(root, 2, fill, {}, keep=2)
    assert [path.name for path in root.iterdir()] == ["step-000001"], "what was written takes no room either"
    assert newest(keepers, root) == (1, [])


def damage_is_found(keepers: Keepers, root: Path) -> None:
    def flip(folder: Path) -> None:
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"\xff")

    def cut(folder: Path) -> None:
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-1])

    def lose(folder: Path) -> None:
        (folder / "rng.json").unlink()

    def add(folder: Path) -> None:
        (folder / "training_args.bin").write_bytes(b"\x80\x04")

    def lie(folder: Path) -> None:
        path = folder / "manifest.json"
        path.write_text(path.read_text().replace('"config_digest": "b"', '"config_digest": "a"'))

    def forget(folder: Path) -> None:
        (folder / "manifest.json").unlink()

    expected = {
        flip: "SHA-256",
        cut: "999 bytes",
        lose: "missing",
        add: "not in the manifest",
        lie: "own digest",
        forget: "manifest",
    }
    for damage, words in expected.items():
        folder = root / damage.__name__
        save(keepers, folder, 1)
        made = save(keepers, folder, 2).path
        if damage is lie:
            shutil.rmtree(made)
            keepers.checkpoint.commit(
                folder, 2, lambda f: (f / "model.safetensors").write_bytes(b"x"), {"config_digest": "b"}, keep=2
            )
        damage(made)
        with pytest.raises(CheckpointDamagedError, match=words):
            keepers.checkpoint.verify(made)
        step, reasons = newest(keepers, folder)
        assert step == 1
        assert len(reasons) == 1


def one_of_another_step_is_not_taken_for_this_one(keepers: Keepers, root: Path) -> None:
    save(keepers, root, 1)
    shutil.copytree(root / "step-000001", root / "step-000009")
    assert newest(keepers, root)[0] == 1


def one_of_another_configuration_is_not_used(keepers: Keepers, root: Path) -> None:
    save(keepers, root, 1)
    assert keepers.checkpoint.newest_verified(root, config_digests={"b"})[0] is None


def a_damaged_one_is_replaced(keepers: Keepers, root: Path) -> None:
    save(keepers, root, 1)
    save(keepers, root, 1)
    assert newest(keepers, root) == (1, [])


# --- folders, locks, states --------------------------------------------------------------------------


def make(keepers: Keepers, root: Path, run_id: str | None = None) -> Any:
    config = parse_config(
        {"student": {"model": "s"}, "teacher": {"type": "local", "model": "t"}, "data": {"path": "p.jsonl"}}
    )
    return keepers.runs.RunStore(root).create(config, run_id)


def a_run_has_one_process(keepers: Keepers, root: Path) -> None:
    run = make(keepers, root)
    lock = run.begin()
    assert run.is_held()
    with pytest.raises(BusyError):
        run.begin()
    lock.release()
    assert not run.is_held()


def a_folder_is_made_once(keepers: Keepers, root: Path) -> None:
    make(keepers, root, "one")
    with pytest.raises(BusyError):
        make(keepers, root, "one")


def a_pid_that_was_given_again_is_not_the_run(keepers: Keepers, root: Path) -> None:
    run = make(keepers, root)
    me = psutil.Process()
    keepers.files.write_json(run.path / "process.json", {"pid": me.pid, "create_time": me.create_time() - 100})
    assert run.state() == "interrupted"
    assert run.pid() is None


def a_zombie_is_no_run(keepers: Keepers, root: Path) -> None:
    run = make(keepers, root)
    child = subprocess.Popen([sys.executable, "-c", ""])
    found = psutil.Process(child.pid)
    keepers.files.write_json(run.path / "process.json", {"pid": child.pid, "create_time": found.create_time()})
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked how
    assert run.state() == "interrupted"
    child.wait()
    assert run.state() == "interrupted"


def its_own_word_counts_before_its_process(keepers: Keepers, root: Path) -> None:
    run = make(keepers, root)
    lock = run.begin()
    run.end("done", step=3)
    assert run.state() == "done"
    lock.release()


def a_new_attempt_forgets_the_last_ones_end(keepers: Keepers, root: Path) -> None:
    run = make(keepers, root)
    run.end("failed", step=3)
    run.request_stop("save")
    lock = run.begin()
    assert run.state() == "running"
    lock.release()


def a_stop_that_was_asked_for_before_it_began_is_heard(keepers: Keepers, root: Path) -> None:
    run = make(keepers, root)
    run.record_process(os.getpid())
    run.request_stop("save")
    lock = run.begin()
    assert run.stop_requested() == "save"
    lock.release()


def the_system_s_word_is_about_this_process(keepers: Keepers, root: Path) -> None:
    run = make(keepers, root)
    keepers.files.write_json(run.path / "process.json", {"pid": 2**22 + 1, "create_time": 1.0})
    run.record_death(2**22 + 2, -11)
    assert run.failure().code == "process_vanished"
    run.record_death(2**22 + 1, -9)
    assert run.failure().code == "process_killed"


def a_run_at_work_is_not_deleted(keepers: Keepers, root: Path) -> None:
    run = make(keepers, root, "busy")
    lock = run.begin()
    with pytest.raises(BusyError):
        keepers.runs.RunStore(root).delete("busy")
    assert run.path.is_dir()
    lock.release()


def an_id_is_no_path(keepers: Keepers, root: Path) -> None:
    make(keepers, root, "one")
    store = keepers.runs.RunStore(root)
    (root / "outside").mkdir()
    shutil.copy(root / "runs" / "one" / "config.yaml", root / "outside")
    with pytest.raises(NotFoundError):
        store.get("../outside")


# --- small files -------------------------------------------------------------------------------------


def a_file_is_the_old_or_the_new(keepers: Keepers, root: Path) -> None:
    path = root / "exit.json"
    keepers.files.write_json(path, {"step": 1})
    order: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        sync, replace = os.fsync, os.replace
        patch.setattr(os, "fsync", lambda fd: (order.append(os.path.realpath(f"/proc/self/fd/{fd}")), sync(fd)))
        patch.setattr(os, "replace", lambda a, b: (order.append("renamed"), replace(a, b)))
        keepers.files.write_json(path, {"step": 2})
    assert keepers.files.read_json(path) == {"step": 2}
    assert "exit.json" in order[0]
    assert order[1:] == ["renamed", str(root.resolve())], "synced, then renamed, then the folder"

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "the disk refuses")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="refuses"):
            keepers.files.write_json(path, {"step": 3})
    assert keepers.files.read_json(path) == {"step": 2}
    assert [found.name for found in root.iterdir()] == ["exit.json"], "nothing is left beside it"


def a_torn_file_counts_as_none(keepers: Keepers, root: Path) -> None:
    (root / "exit.json").write_text('{"outcome": "do')
    assert keepers.files.read_json(root / "exit.json") is None


STORIES: tuple[Story, ...] = (
    a_kill_at_any_point_leaves_the_old_or_the_new,
    two_are_kept_and_no_more,
    all_is_on_disk_before_it_counts,
    a_full_disk_costs_only_the_new_one,
    damage_is_found,
    one_of_another_step_is_not_taken_for_this_one,
    one_of_another_configuration_is_not_used,
    a_damaged_one_is_replaced,
    a_run_has_one_process,
    a_folder_is_made_once,
    a_pid_that_was_given_again_is_not_the_run,
    a_zombie_is_no_run,
    its_own_word_counts_before_its_process,
    a_new_attempt_forgets_the_last_ones_end,
    a_stop_that_was_asked_for_before_it_began_is_heard,
    the_system_s_word_is_about_this_process,
    a_run_at_work_is_not_deleted,
    an_id_is_no_path,
    a_file_is_the_old_or_the_new,
    a_torn_file_counts_as_none,
)
