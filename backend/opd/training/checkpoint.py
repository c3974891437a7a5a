"""Checkpoints that are either whole or not there, and a resume that proves what it loads.

    checkpoints/step-000100/  model.safetensors | adapter.safetensors   what learns
                              optimizer.safetensors  optimizer.json     AdamW's moments; groups and scheduler
                              rng.safetensors  rng.json                 every generator's state
                              trainer_state.json                        the trainer's own counters
                              manifest.json                             SHA-256 and size of each, step, config, versions

Written into a stage folder, synced, hashed, then renamed: a crash at any point leaves the older checkpoint and at
most an unfinished folder that nobody reads. No pickle anywhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, load_model, save_file, save_model

from opd.errors import CheckpointDamagedError, StorageError
from opd.store.files import fsync_dir, read_json, write_json

MANIFEST = "manifest.json"
TRAINER_STATE = "trainer_state.json"
_NAME = re.compile(r"step-(\d{6,})")


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint."""

    path: Path
    step: int
    manifest: dict[str, Any]


@dataclass(frozen=True)
class Rejected:
    """A checkpoint that does not verify, and why."""

    path: Path
    reason: str


def commit(
    root: Path,
    step: int,
    write: Callable[[Path], None],
    facts: dict[str, Any],
    *,
    keep: int,
    at: Callable[[str], None] = lambda point: None,
) -> Checkpoint:
    """Write a checkpoint so that it appears whole or not at all, then drop the oldest beyond `keep`.

    Args:
        write: puts the files into the stage folder it is given.
        facts: goes into the manifest (configuration digest, versions, event cursor, …).
        at: called with the name of each point reached; for tests that stop here.

    Raises:
        StorageError: no space, or the disk refused to sync. Older checkpoints are untouched.
    """
    root.mkdir(parents=True, exist_ok=True)
    stage, final = root / f".stage-{step:06d}", root / f"step-{step:06d}"
    try:
        _remove(stage)
        stage.mkdir()
        at("stage")
        write(stage)
        at("written")
        files = {}
        for path in sorted(stage.iterdir()):
            _fsync(path)
            files[path.name] = {"sha256": file_digest(path), "num_bytes": path.stat().st_size}
        at("synced")
        manifest = {"format": 1, "step": step, "time": time.time(), "files": files, **facts}
        manifest["digest"] = _content_digest(manifest)
        write_json(stage / MANIFEST, manifest)
        at("manifest")
        _remove(final)
        os.replace(stage, final)
        at("renamed")
        fsync_dir(root)
        at("durable")
    except (OSError, SafetensorError) as error:  # safetensors has its own word for a full disk
        shutil.rmtree(stage, ignore_errors=True)
        raise StorageError(
            f"The checkpoint of step {step} could not be written: {getattr(error, 'strerror', None) or error}.",
            hint="Free disk space and resume: the checkpoint before it is whole.",
            details={"step": step},
        ) from error
    for old in _folders(root)[keep:]:
        _remove(old)
    at("pruned")
    return Checkpoint(final, step, manifest)


def newest_verified(
    root: Path, *, config_digests: Collection[str] | None = None
) -> tuple[Checkpoint | None, list[Rejected]]:
    """The newest checkpoint whose every file matches its manifest, and the newer ones that do not, with reasons.

    Args:
        config_digests: of the configurations whose checkpoints may be used; None: any.
    """
    rejected = []
    for folder in _folders(root):
        try:
            checkpoint = verify(folder)
        except CheckpointDamagedError as error:
            rejected.append(Rejected(folder, error.message))
            continue
        if config_digests is not None and checkpoint.manifest.get("config_digest") not in config_digests:
            rejected.append(Rejected(folder, f"{folder.name} belongs to another configuration"))
            continue
        return checkpoint, rejected
    return None, rejected


def verified_before(root: Path, step: int, *, config_digest: str) -> list[Checkpoint]:
    """Checkpoints of this configuration earlier than `step` that verify, newest first."""
    found = []
    for folder in _folders(root):
        with contextlib.suppress(CheckpointDamagedError):
            found.append(verify(folder))
    return [one for one in found if one.step < step and one.manifest.get("config_digest") == config_digest]


def last_size(root: Path) -> int:
    """Bytes of the newest checkpoint's files; 0 where there is none."""
    folders = _folders(root)
    return sum(path.stat().st_size for path in folders[0].iterdir()) if folders else 0


def verify(folder: Path) -> Checkpoint:
    """Check every file against the manifest.

    Raises:
        CheckpointDamagedError: names the first file that differs, is missing, or should not be there.
    """
    manifest = read_json(folder / MANIFEST)
    match = _NAME.fullmatch(folder.name)
    if not isinstance(manifest, dict) or match is None or manifest.get("step") != int(match[1]):
        raise _damaged(folder, "its manifest is missing, unreadable, or of another step")
    if manifest.get("digest") != _content_digest(manifest):
        raise _damaged(folder, f"{MANIFEST} does not match its own digest")
    files = manifest.get("files", {})
    extra = {p.name for p in folder.iterdir()} - set(files) - {MANIFEST}
    if extra or not files:
        raise _damaged(folder, f"{sorted(extra)[0]} is not in the manifest" if extra else "the manifest names no files")
    for name, entry in files.items():
        path = folder / name
        if not path.is_file():
            raise _damaged(folder, f"{name} is missing")
        if path.stat().st_size != entry["num_bytes"]:
            raise _damaged(folder, f"{name} has {path.stat().st_size:,} bytes, expected {entry['num_bytes']:,}")
        if file_digest(path) != entry["sha256"]:
            raise _damaged(folder, f"{name} does not match its SHA-256")
    return Checkpoint(folder, int(match[1]), manifest)


def _damaged(folder: Path, what: str) -> CheckpointDamagedError:
    return CheckpointDamagedError(
        f"Checkpoint {folder.name} is damaged: {what}.",
        hint="An older checkpoint is used if one verifies; otherwise start the run anew.",
        details={"checkpoint": folder.name},
    )


# --- what goes in -------------------------------------------------------------------------------


def save_learned(model: Any, folder: Path) -> None:
    """The weights that learn: adapters alone where there are adapters."""
    if hasattr(model, "peft_config"):
        from peft import get_peft_model_state_dict

        tensors = {k: v.detach().cpu().contiguous() for k, v in get_peft_model_state_dict(model).items()}
        save_file(tensors, folder / "adapter.safetensors")
    else:
        save_model(model, str(folder / "model.safetensors"))


def load_learned(model: Any, folder: Path) -> None:
    """Put saved weights back, exactly."""
    if hasattr(model, "peft_config"):
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(model, load_file(folder / "adapter.safetensors", device=str(model.device)))
    else:
        load_model(model, str(folder / "model.safetensors"), device=str(model.device))


def save_optimizer(optimizer: Any, scheduler: Any, folder: Path) -> None:
    """AdamW's moments as tensors, groups and the schedule's position as JSON."""
    state = optimizer.state_dict()
    tensors, plain = {}, {}
    for index, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}.{name}"] = value.detach().cpu().contiguous()
            else:
                plain[f"{index}.{name}"] = value
    save_file(tensors, folder / "optimizer.safetensors")
    schedule = {k: v for k, v in scheduler.state_dict().items() if k != "lr_lambdas"}
    content = {"groups": state["param_groups"], "plain": plain, "scheduler": schedule}
    (folder / "optimizer.json").write_text(json.dumps(content))


def load_optimizer(optimizer: Any, scheduler: Any, folder: Path) -> None:
    """Put the optimizer and the schedule back, exactly."""
    content = json.loads((folder / "optimizer.json").read_text())
    state: dict[int, dict[str, Any]] = {}
    for key, value in (*load_file(folder / "optimizer.safetensors").items(), *content["plain"].items()):
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": content["groups"]})
    current = scheduler.state_dict()
    scheduler.load_state_dict({**current, **content["scheduler"]})


def save_rng(folder: Path) -> None:
    """The state of every generator that training may draw from."""
    tensors = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors |= {f"cuda.{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    name, keys, *rest = np.random.get_state(legacy=True)  # the global one is what libraries draw from
    tensors["numpy"] = torch.from_numpy(np.asarray(keys, dtype=np.int64))
    save_file(tensors, folder / "rng.safetensors")
    (folder / "rng.json").write_text(json.dumps({"python": random.getstate(), "numpy": [name, *rest]}))


def load_rng(folder: Path) -> None:
    """Put every generator back."""
    tensors, plain = load_file(folder / "rng.safetensors"), json.loads((folder / "rng.json").read_text())
    torch.set_rng_state(tensors["torch"])
    if torch.cuda.is_available():
        torch.cuda.set_rng_state_all([tensors[k] for k in sorted(tensors) if k.startswith("cuda.")])
    name, *rest = plain["numpy"]
    np.random.set_state((name, tensors["numpy"].numpy().astype(np.uint32), *rest))  # as above
    version, internal, gauss = plain["python"]
    random.setstate((version, tuple(internal), gauss))


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _content_digest(manifest: dict[str, Any]) -> str:
    """SHA-256 over everything else that a manifest says."""
    said = {name: value for name, value in manifest.items() if name != "digest"}
    return text_digest(json.dumps(said, sort_keys=True))


def text_digest(*texts: str) -> str:
    """SHA-256 over texts in order, each closed by a NUL so that borders count."""
    return hashlib.sha256(b"".join(text.encode() + b"\0" for text in texts)).hexdigest()


def replace_folder(stage: Path, target: Path) -> None:
    """Put a finished folder in the place of an older one; durable once this returns."""
    for path in stage.iterdir():
        _fsync(path)
    _remove(target)
    os.replace(stage, target)
    fsync_dir(target.parent)


def _folders(root: Path) -> list[Path]:
    """Checkpoint folders, newest first; unfinished ones are not among them."""
    if not root.is_dir():
        return []
    found = [(int(match[1]), p) for p in root.iterdir() if (match := _NAME.fullmatch(p.name)) and p.is_dir()]
    return [path for _, path in sorted(found, reverse=True)]


def _fsync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
