"""From a folder, a Hugging Face id or a run's name to a model that can be served.

A folder of LoRA adapters is served as the model they belong to, with them merged. Everything passes the gate of
`opd.model_files` first: safetensors only, no code of the folder ever runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from opd.errors import ModelMismatchError, NotFoundError
from opd.model_files import ModelFacts, find_model, read_facts
from opd.serving.adapters import find_adapter
from opd.store.runs import RunFolder
from opd.training.models import end_token_ids, load_tokenizer, load_weights, pick_dtype


@dataclass(frozen=True)
class ServedModel:
    """A model, ready to write and to score."""

    model: Any
    tokenizer: Any
    facts: ModelFacts
    eos_ids: tuple[int, ...]
    device: torch.device


def find_served(model_or_run: str, runs_dir: Path | None = None) -> Path | str:
    """What to load: what a run of this name has trained, as its verdict recommends, else the folder or id as it is.

    Raises:
        NotFoundError: the run exists, but has no finished student.
    """
    run = runs_dir / model_or_run if runs_dir is not None and "/" not in model_or_run else None
    if run is None or not (run / "config.yaml").is_file():
        return model_or_run
    best = RunFolder(run).best_path
    if not (best / "config.json").is_file():
        raise NotFoundError(
            f"Run {model_or_run} has no finished student with complete weights.",
            hint="Wait for its end, or export one of its checkpoints as merged weights and serve that folder.",
        )
    return best


def load_served(model: str | Path, *, device: str = "auto", dtype: str = "auto") -> ServedModel:
    """Load a model for serving.

    Args:
        device: auto, cpu, cuda or mps.
        dtype: auto, float32, bfloat16 or float16. auto: bfloat16 on GPUs that support it, else float32.

    Raises:
        ModelNotFoundError, UnsafeModelError: from the gate.
        ModelMismatchError: no chat template, no end token, adapters of another model, or a device that is not there.
    """
    adapter = find_adapter(model)
    folder = find_model(str(model) if adapter is None else adapter.base)
    place = _pick_device(device)
    tokenizer = load_tokenizer(folder)
    weights = load_weights(folder, pick_dtype(dtype, place), place).eval()
    weights.requires_grad_(False)
    if adapter is not None:
        adapter.merge_into(weights)
    return ServedModel(weights, tokenizer, read_facts(folder), end_token_ids(weights, tokenizer), place)


def _pick_device(wanted: str) -> torch.device:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if there[name]))
    if not there.get(wanted.split(":")[0], False):
        raise ModelMismatchError(
            f"device is {wanted}, but this machine's PyTorch sees no such device.",
            hint="Use auto, or install the PyTorch build for your GPU.",
        )
    return torch.device(wanted)
