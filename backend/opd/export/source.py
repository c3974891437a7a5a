"""What is exported: a run's trained model with its tokenizer, and where its parts are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from opd.errors import InputError, NotFoundError
from opd.evaluation.recommendation import learned_of
from opd.model_files import check_model_folder, find_model, read_facts
from opd.store.runs import RunFolder
from opd.training import checkpoint
from opd.training.models import load_tokenizer, load_weights, pick_dtype, trains_adapter, with_adapter


@dataclass(frozen=True)
class Source:
    """A run's model on the CPU.

    Attributes:
        model: complete weights; adapters are merged.
        adapter: the checkpoint that holds the adapters alone; None where all weights learnt.
        base: folder of the model that the run began with.
        step: of the checkpoint; None for the run's finished model.
    """

    run: RunFolder
    model: Any
    tokenizer: Any
    adapter: Path | None
    base: Path
    step: int | None


def open_source(run: RunFolder, *, step: int | None = None, final: bool = False) -> Source:
    """Load what a run has trained.

    Args:
        step: one of its checkpoints; None takes the model that its verdict recommends, else the finished student.
        final: take the finished student whatever the verdict recommends.

    Raises:
        NotFoundError: there is no such checkpoint, or no finished model yet.
        CheckpointDamagedError: the checkpoint does not verify.
        ModelNotFoundError, UnsafeModelError: the run's student is no longer there, or not safe to load.
    """
    config = run.config()
    base = find_model(config.student.model, revision=config.student.revision)
    adapter = trains_adapter(config.student, read_facts(base))
    if step is None:
        folder = run.student_path if final else run.best_path
        if not (folder / "config.json").is_file():
            raise NotFoundError(
                f"Run {run.run_id} has no finished model.",
                hint="Wait for its end, stop and save it, or name one of its checkpoints.",
            )
        check_model_folder(folder)
        model = load_weights(folder, "auto", torch.device("cpu")).eval()
        return Source(run, model, load_tokenizer(folder), _learned(run, folder) if adapter else None, base, None)
    saved = find_checkpoint(run, step)
    model = load_weights(base, pick_dtype(config.student.dtype, torch.device("cpu")), torch.device("cpu"))
    if adapter:
        model = with_adapter(model, config)
    checkpoint.load_learned(model, saved.path)
    merged = model.merge_and_unload() if adapter else model
    return Source(run, merged.eval(), load_tokenizer(base), saved.path if adapter else None, base, step)


def _learned(run: RunFolder, folder: Path) -> Path | None:
    """Where the adapters lie that were merged into this model."""
    if folder == run.recommended_path:
        return learned_of(run, run.summary().verdict)
    found, _ = checkpoint.newest_verified(run.checkpoints_path)
    return found.path if found else None


def find_checkpoint(run: RunFolder, step: int) -> checkpoint.Checkpoint:
    """A verified checkpoint of this step.

    Raises:
        NotFoundError: there is none; names those that are there.
        CheckpointDamagedError: it does not verify.
    """
    folder = run.checkpoints_path / f"step-{step:06d}"
    if not folder.is_dir():
        there = sorted(int(path.name[5:]) for path in run.checkpoints_path.glob("step-*"))
        raise NotFoundError(
            f"Run {run.run_id} has no checkpoint of step {step}.",
            hint=f"It has {', '.join(map(str, there))}." if there else "It has none.",
        )
    return checkpoint.verify(folder)


def need_adapter(source: Source) -> Path:
    """The checkpoint with the adapters.

    Raises:
        InputError: the run trained no adapters, or their checkpoint is gone.
    """
    if source.adapter is None:
        config = source.run.config().student
        whole = not trains_adapter(config, read_facts(source.base))
        raise InputError(
            f"Run {source.run.run_id} trained all weights: there are no adapters to export."
            if whole
            else f"No checkpoint with adapters of run {source.run.run_id} verifies any more.",
            hint="Export it as merged: the folder holds the complete model.",
        )
    return source.adapter
