"""Checkpoints: whole or absent, damage found and named, the older one used."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from opd.errors import CheckpointDamagedError, StorageError
from opd.training import checkpoint

POINTS = ["stage", "written", "synced", "manifest", "renamed", "durable", "pruned"]


class Crash(BaseException):
    """Stands for the process being gone: nothing may catch it."""


def write(folder: Path) -> None:
    (folder / "a.bin").write_bytes(bytes(range(256)) * 8)
    (folder / "b.json").write_text("{}")


def crash_at(point: str):  # type: ignore[no-untyped-def]  # a tiny closure
    def at(reached: str) -> None:
        if reached == point:
            raise Crash

    return at


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at_any_point_leaves_a_whole_checkpoint(tmp_path: Path, point: str) -> None:
    checkpoint.commit(tmp_path, 10, write, {}, keep=2)
    with pytest.raises(Crash):
        checkpoint.commit(tmp_path, 20, write, {}, keep=2, at=crash_at(point))
    found, rejected = checkpoint.newest_verified(tmp_path)
    assert found is not None
    assert found.step == (20 if POINTS.index(point) >= POINTS.index("renamed") else 10)
    assert rejected == []
    assert checkpoint.commit(tmp_path, 20, write, {}, keep=2).step == 20


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        checkpoint.commit(tmp_path, step, write, {}, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000003", "step-000004"]


def damages() -> list[tuple[str, object]]:
    def flip(offset: int) -> object:
        def change(folder: Path) -> None:
            data = bytearray((folder / "a.bin").read_bytes())
            data[offset] ^= 1
            (folder / "a.bin").write_bytes(data)

        return change

    return [
        *[(f"bit {offset}", flip(offset)) for offset in range(0, 2048, 103)],
        ("cut", lambda folder: (folder / "a.bin").write_bytes(b"x")),
        ("gone", lambda folder: (folder / "b.json").unlink()),
        ("added", lambda folder: (folder / "c").write_text("x")),
        ("manifest gone", lambda folder: (folder / "manifest.json").unlink()),
        ("manifest cut", lambda folder: (folder / "manifest.json").write_text('{"step"')),
        ("other step", lambda folder: shutil.copy(folder.parent / "step-000001" / "manifest.json", folder)),
    ]


@pytest.mark.parametrize(("name", "damage"), damages(), ids=[n for n, _ in damages()])
def test_damage_is_found_and_the_older_checkpoint_used(tmp_path: Path, name: str, damage: object) -> None:
    checkpoint.commit(tmp_path, 1, write, {}, keep=2)
    newest = checkpoint.commit(tmp_path, 2, write, {}, keep=2)
    damage(newest.path)  # type: ignore[operator]
    with pytest.raises(CheckpointDamagedError, match="step-000002"):
        checkpoint.verify(newest.path)
    found, rejected = checkpoint.newest_verified(tmp_path)
    assert found is not None
    assert found.step == 1
    assert [r.path.name for r in rejected] == ["step-000002"]


def test_a_checkpoint_of_another_configuration_is_not_used(tmp_path: Path) -> None:
    checkpoint.commit(tmp_path, 1, write, {"config_digest": "a"}, keep=2)
    assert checkpoint.newest_verified(tmp_path, config_digests={"a"})[0] is not None
    found, rejected = checkpoint.newest_verified(tmp_path, config_digests={"b"})
    assert found is None
    assert "another configuration" in rejected[0].reason


def test_a_full_disk_is_said_and_the_older_checkpoint_stays(tmp_path: Path) -> None:
    checkpoint.commit(tmp_path, 1, write, {}, keep=2)

    def no_space(folder: Path) -> None:
        raise OSError(28, os.strerror(28))

    with pytest.raises(StorageError, match="No space left"):
        checkpoint.commit(tmp_path, 2, no_space, {}, keep=2)
    found, _ = checkpoint.newest_verified(tmp_path)
    assert found is not None
    assert found.step == 1


def test_random_states_come_back(tmp_path: Path) -> None:
    checkpoint.save_rng(tmp_path)
    first = (random.random(), float(np.random.rand()), float(torch.rand(())))  # the global one
    checkpoint.load_rng(tmp_path)
    assert first == (random.random(), float(np.random.rand()), float(torch.rand(())))  # as above


def test_nothing_in_a_checkpoint_is_a_pickle(tmp_path: Path) -> None:
    from tiny import make_model

    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    checkpoint.save_learned(model, tmp_path)
    checkpoint.save_optimizer(optimizer, schedule, tmp_path)
    checkpoint.save_rng(tmp_path)
    for path in tmp_path.iterdir():
        assert path.suffix in {".safetensors", ".json"}
        if path.suffix == ".json":
            json.loads(path.read_text())
