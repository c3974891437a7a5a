"""NaN, infinity and windows without a token: stop within a step, keep the last good checkpoint, leave a gap."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from faults.harness import Torture
from opd.pipeline import distillation
from opd.pipeline.run import run_folder
from opd.training import checkpoint
from opd.training.decoding import Completion
from opd.training.trainer import OPDTrainer

BAD_STEP = 4


class Poisoned(OPDTrainer):
    """At the bad step one weight is what `poison` says: what a broken kernel or a cosmic ray leaves."""

    poison = math.nan

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        if self.state.global_step + 1 == BAD_STEP:
            with torch.no_grad():
                next(p for name, p in model.named_parameters() if "norm" in name).view(-1)[0] = self.poison
        return super().training_step(model, inputs, num_items_in_batch)

    def complete(self, prompts: Any, seeds: Any) -> list[Completion]:
        if self.state.global_step + 1 == BAD_STEP:  # sampling from NaN fails first; here the loss has to notice
            return [Completion((5, 6, 2), True) for _ in prompts]
        return super().complete(prompts, seeds)


class Endless(Poisoned):
    """…is infinite."""

    poison = math.inf


class Steep(OPDTrainer):
    """At the bad step the gradient is not finite, though the loss is."""

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        loss = super().training_step(model, inputs, num_items_in_batch)
        if self.state.global_step + 1 == BAD_STEP:
            next(p for p in model.parameters() if p.grad is not None).grad.view(-1)[0] = math.inf
        return loss


class Silent(OPDTrainer):
    """At the bad step the student says nothing at all."""

    def complete(self, prompts: Any, seeds: Any) -> list[Completion]:
        if self.state.global_step + 1 == BAD_STEP:
            return [Completion((), True) for _ in prompts]
        return super().complete(prompts, seeds)


@pytest.fixture(scope="module")
def torture(tmp_path_factory: pytest.TempPathFactory) -> Torture:
    return Torture(tmp_path_factory.mktemp("diverged"), evaluation={"enabled": False})


@pytest.mark.parametrize("trainer", [Poisoned, Endless, Steep, Silent], ids=lambda trainer: trainer.__name__)
def test_training_stops_at_the_bad_step(
    torture: Torture, trainer: type[OPDTrainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = torture.store.create(torture.config)
    monkeypatch.setattr(distillation, "OPDTrainer", trainer)
    assert run_folder(run) == 1
    failure = run.failure()
    assert run.state() == "failed"
    assert failure is not None
    assert failure.code == "diverged"
    found, rejected = checkpoint.newest_verified(run.checkpoints_path)
    assert rejected == []
    assert found is not None
    assert found.step == BAD_STEP - 1, "the last good one"
    assert all(bool(t.isfinite().all()) for t in saved_weights(found.path).values())
    with run.reader() as reader:
        series = reader.buckets(["loss", "grad_norm"])
    steps = {b.last_step: b for b in series["grad_norm" if trainer is Steep else "loss"]}
    assert max(steps) == BAD_STEP, "not one step further"
    assert steps[BAD_STEP].num_missing == 1, "a gap, not a number"
    assert steps[BAD_STEP].mean is None
    assert all(steps[step].num_missing == 0 for step in range(1, BAD_STEP))
    assert not run.student_path.exists(), "a broken student is not handed out"


def saved_weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")
