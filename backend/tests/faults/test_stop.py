"""SIGTERM and Ctrl-C in the middle of a save: a checkpoint that verifies, exit 130, and a resume with the same bits."""

from __future__ import annotations

import os
import signal
import time

import pytest

from faults.comparison import history, model_digest
from faults.harness import POINTS, Torture
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
    assert run.state() == "stopped"
    found, rejected = checkpoint.newest_verified(run.checkpoints_path)
    assert rejected == []
    assert found is not None
    assert found.step == run.summary().step == 2, "no further step was taken, and none was lost"
    assert (run.student_path / "model.safetensors").exists(), "stopped and saved: there is a model to take away"
    assert RunProcess(run).wait() == 0
    assert model_digest(run) == model_digest(torture.whole)
    whole = history(torture.whole)
    assert {k: v for k, v in history(run).items() if not k.startswith("run_finished")} == {
        k: v for k, v in whole.items() if not k.startswith("run_finished")
    }
    return left_s


@pytest.mark.parametrize(
    ("point", "how"),
    [("stage", signal.SIGTERM), ("manifest", signal.SIGINT), ("renamed", signal.SIGTERM), ("pruned", signal.SIGINT)],
)
def test_a_stop_during_a_save_is_a_stop_after_it(torture: Torture, point: str, how: signal.Signals) -> None:
    print(f"{how.name} at {point}: ended after {stop_at(torture, point, how):.2f} s")


@pytest.mark.torture
def test_a_stop_at_every_point_ends_within_ten_seconds(torture: Torture) -> None:
    times = [stop_at(torture, point, how) for point in POINTS for how in (signal.SIGTERM, signal.SIGINT)]
    print(f"{len(times)} stops during a save: {max(times):.2f} s at most from the save to the exit")
    assert max(times) < 10


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
