"""A real run's checkpoint, damaged in every file: always found and named, and the one before is used."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.comparison import model_digest, stored_events
from faults.harness import STEPS, Torture
from opd.errors import CheckpointDamagedError
from opd.training import checkpoint
from run_processes import RunProcess

NUM_OFFSETS = 20
LAST = f"step-{STEPS:06d}"


@pytest.fixture(scope="module")
def torture(tmp_path_factory: pytest.TempPathFactory) -> Torture:
    return Torture(tmp_path_factory.mktemp("damage"))


def refused(root: Path, name: str) -> None:
    """The newest checkpoint is refused for this file, and the one before is found."""
    with pytest.raises(CheckpointDamagedError, match=f"{LAST} is damaged") as damage:
        checkpoint.verify(root / LAST)
    assert name in damage.value.message or "manifest" in damage.value.message
    found, rejected = checkpoint.newest_verified(root)
    assert [r.path.name for r in rejected] == [LAST]
    assert found is not None
    assert found.step == STEPS - 1


def test_all_damage_is_found(torture: Torture, tmp_path: Path, tell: Callable[[str], None]) -> None:
    root, rng, count = tmp_path / "checkpoints", random.Random(0), 0
    shutil.copytree(torture.whole.checkpoints_path, root)
    names = sorted(path.name for path in (root / LAST).iterdir())
    assert {"model.safetensors", "optimizer.safetensors", "rng.safetensors", checkpoint.MANIFEST} <= set(names)
    for name in names:
        path = root / LAST / name
        whole = path.read_bytes()
        other = (root / f"step-{STEPS - 1:06d}" / name).read_bytes()
        flips = [(rng.randrange(len(whole)), rng.randrange(8)) for _ in range(NUM_OFFSETS)]
        damaged = [whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :] for at, bit in flips]
        damaged += [whole[:-1], whole[: len(whole) // 2], b"", whole + b"\0"]
        damaged += [other] if other != whole else []
        for content in damaged:
            path.write_bytes(content)
            refused(root, name)
            count += 1
        path.unlink()
        refused(root, name)
        count += 1
        path.write_bytes(whole)
        assert checkpoint.verify(root / LAST).step == STEPS
    tell(f"{count} damages to {len(names)} files: all found and named")


def test_a_run_goes_on_from_the_one_before_and_says_so(torture: Torture) -> None:
    run = torture.store.create(torture.config)
    process = RunProcess(run, fault_at="pruned", occurrence=4)
    process.wait()
    newest = run.checkpoints_path / "step-000004" / "optimizer.safetensors"
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 16
    newest.write_bytes(data)
    assert RunProcess(run).wait() == 0
    (resumed,) = [s.event for s in stored_events(run) if s.event.kind == "run_resumed"]
    assert (resumed.step, resumed.exactness) == (3, "exact")
    assert "step-000004" in resumed.reason
    assert "optimizer.safetensors" in resumed.reason
    assert model_digest(run) == model_digest(torture.whole)
