"""What a run leaves to take: the model that its verdict recommends, for export, serve and the list of models alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from opd.catalogue import local_models
from opd.events import VerdictReached
from opd.export.source import open_source
from opd.export.work import export_run
from opd.pipeline.artefact import keep_recommended
from opd.pipeline.evaluate import Spoken
from opd.pipeline.workbench import Workbench, set_up
from opd.serving.loading import find_served
from opd.store.runs import RunFolder, RunStore
from opd.training import checkpoint
from opd.training.models import load_student
from tokenizers_in_tests import byte_level, model_for
from trained_run import a_run, dividing_by

ONE = dividing_by("qwen2", byte_level("one_digit"))


def advised(recommended: Any, step: int | None = None) -> VerdictReached:
    return VerdictReached(
        conclusion="no_significant_change", headline="So.", recommended=recommended, recommended_step=step
    )


def with_an_earlier_best(root: Path, training: str) -> tuple[RunFolder, Workbench]:
    """A finished run whose checkpoint of step 1, and whose baseline, are other models than its student."""
    run = a_run(root, model_for(ONE), ONE, training=training)
    config = run.config()
    student = load_student(config, torch.device("cpu"))
    with torch.no_grad():
        for parameter in student.model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05)
    checkpoint.commit(
        run.checkpoints_path, 1, lambda folder: checkpoint.save_learned(student.model, folder), {}, keep=9
    )
    (run.path / "baseline").mkdir()
    with torch.no_grad():
        for parameter in student.model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05)
    checkpoint.save_learned(student.model, run.path / "baseline")
    return run, set_up(run, Spoken(lambda text: None), {})


def same(one: Any, other: Any) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return all(torch.equal(a[name], b[name]) for name in b)


@pytest.mark.parametrize("training", ["full", "lora"])
def test_a_recommended_checkpoint_is_what_export_and_serve_take(tmp_path: Path, training: str) -> None:
    run, bench = with_an_earlier_best(tmp_path, training)
    verdict = advised("checkpoint", 1)
    assert run.best_path == run.student_path
    keep_recommended(bench, verdict)
    writer = run.writer()
    writer.append(verdict)
    writer.close()
    assert run.best_path == run.recommended_path
    best, final, first = open_source(run), open_source(run, final=True), open_source(run, step=1)
    assert same(best.model, first.model)
    assert not same(best.model, final.model)
    assert best.adapter == (run.checkpoints_path / "step-000001" if training == "lora" else None)
    assert find_served(run.run_id, tmp_path / "runs") == run.recommended_path
    assert str(run.recommended_path) in {model.id for model in local_models(RunStore(tmp_path))}
    export_run(run, "lora" if training == "lora" else "merged", tmp_path / "out")
    name = "adapter_model.safetensors" if training == "lora" else "model.safetensors"
    saved = "adapter.safetensors" if training == "lora" else "model.safetensors"
    one, other = load_file(tmp_path / "out" / name), load_file(run.checkpoints_path / "step-000001" / saved)
    assert all(torch.equal(one[key], other[key]) for key in other)


def test_what_is_recommended_follows_the_verdict(tmp_path: Path) -> None:
    run, bench = with_an_earlier_best(tmp_path, "full")
    (run.path / "baseline").rename(run.path / "warm_start")  # a run without a baseline has its imitation there
    keep_recommended(bench, advised("sft"))
    learned = load_file(run.path / "warm_start" / "model.safetensors")
    assert all(torch.equal(learned[name], value) for name, value in _weights(run.best_path).items() if name in learned)
    for recommended in ("after", "before"):  # nobody exports a run to get what they had
        keep_recommended(bench, advised(recommended))
        assert run.best_path == run.student_path


def _weights(folder: Path) -> dict[str, Any]:
    return load_file(folder / "model.safetensors")
