"""SIGTERM and Ctrl-C in the middle of a save, or while a teacher is silent: a checkpoint that verifies, exit 130, and a
resume with the same bits."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from faults.comparison import history, model_digest
from faults.harness import POINTS, Torture
from faults.variants import Door, paid_teacher, served_teacher
from opd.store.runs import RunFolder
from opd.training import checkpoint
from run_processes import RunProcess


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def torture(tmp_path_factory: pytest.TempPathFactory) -> Torture:
    return Torture(tmp_path_factory.mktemp("stop"))


def stop_at(torture: Torture, point: str, how: signal.Signals) -> float:
    """Stop a run during its second save; the seconds from the signal to the exit come back."""
    run = torture.store.create(torture.config)
    process = RunProcess(run, fault_at=point, occurrence=2, fault=terminate if how == signal.SIGTERM else interrupt)
    assert process.wait() == 130, process.log()
    left_s = time.time() - (run.path / "checkpoints" / "step-000002" / checkpoint.MANIFEST).stat().st_mtime
    assert saved_step(run) == 2, "no further step was taken"
    assert_goes_on(run, torture)
    return left_s


def saved_step(run: RunFolder) -> int:
    """Where a run was stopped and saved: whole, with nothing lost and a model to take away."""
    assert run.state() == "stopped"
    found, rejected = checkpoint.newest_verified(run.checkpoints_path)
    assert rejected == []
    assert found is not None
    assert found.step == run.summary().step
    assert (run.student_path / "model.safetensors").exists()
    return found.step


def assert_goes_on(run: RunFolder, torture: Torture) -> None:
    """Resumed, it ends like the run that was never stopped."""
    process = RunProcess(run)
    assert process.wait() == 0, process.log()
    assert model_digest(run) == model_digest(torture.whole)
    whole = history(torture.whole)
    assert {k: v for k, v in history(run).items() if not k.startswith("run_finished")} == {
        k: v for k, v in whole.items() if not k.startswith("run_finished")
    }


def stop_in_silence(root: Path, variant: Callable[..., AbstractContextManager[Torture]], how: signal.Signals) -> float:
    """Stop a run whose teacher has stopped answering in the middle of training; the seconds to its exit."""
    root.mkdir(exist_ok=True)
    door = Door()
    with variant(root, door) as torture:
        run = torture.victim()
        door.fall_silent(round(0.7 * door.num_asked))  # of what the whole run asked
        process = RunProcess(run)
        assert door.is_silent.wait(120), process.log()
        begun = time.monotonic()
        process.send(how)
        assert process.wait(60) == 130, process.log()
        took_s = time.monotonic() - begun
        assert saved_step(run) > 0
        door.speak()
        assert_goes_on(run, torture)
    return took_s


@pytest.mark.parametrize(
    ("variant", "how"), [(served_teacher, signal.SIGTERM), (paid_teacher, signal.SIGINT)], ids=["served", "chat"]
)
def test_a_stop_while_the_teacher_is_silent(
    tmp_path: Path,
    variant: Callable[..., AbstractContextManager[Torture]],
    how: signal.Signals,
    tell: Callable[[str], None],
) -> None:
    took_s = stop_in_silence(tmp_path, variant, how)
    tell(f"{how.name} during a call of a {variant.__name__.replace('_', ' ')}: {took_s:.1f} s")


@pytest.mark.parametrize(
    ("point", "how"),
    [("stage", signal.SIGTERM), ("manifest", signal.SIGINT), ("renamed", signal.SIGTERM), ("pruned", signal.SIGINT)],
)
def test_a_stop_during_a_save_is_a_stop_after_it(
    torture: Torture, point: str, how: signal.Signals, tell: Callable[[str], None]
) -> None:
    tell(f"{how.name} during a save, at {point}: {stop_at(torture, point, how):.1f} s to the exit")


@pytest.mark.torture
def test_a_stop_at_every_point_and_in_silence_ends_within_ten_seconds(
    tmp_path: Path, torture: Torture, tell: Callable[[str], None]
) -> None:
    signals = (signal.SIGTERM, signal.SIGINT)
    saving = [stop_at(torture, point, how) for point in POINTS for how in signals]
    waiting = [
        stop_in_silence(tmp_path / f"{variant.__name__}-{how.name}", variant, how)
        for variant in (served_teacher, paid_teacher)
        for how in signals
    ]
    tell(
        f"{len(saving)} stops during a save: {max(saving):.1f} s at most to the exit; {len(waiting)} while the teacher "
        f"is silent: {max(waiting):.1f} s at most",
    )
    assert max(*saving, *waiting) < 10


def test_a_second_signal_does_not_wait(torture: Torture) -> None:
    """Whoever insists is obeyed at once; the checkpoint before the save is whole."""
    run = torture.store.create(torture.config)
    process = RunProcess(run, fault_at="manifest", occurrence=2, fault=insist)
    assert process.wait() == -signal.SIGTERM
    found, _ = checkpoint.newest_verified(run.checkpoints_path)
    assert found is not None
    assert found.step == 1
    assert run.state() == "interrupted"
    assert RunProcess(run).wait() == 0
    assert model_digest(run) == model_digest(torture.whole)


def insist() -> None:
    terminate()
    terminate()
