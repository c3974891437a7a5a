"""Hugging Face's cache of downloaded models, read as folders: what is on this machine without asking anybody.

In: a folder or an id. Out: the local folder, or None. Downloads nothing; `opd.model_files.find_model` does.

What is asked for is somebody's text: `os.path` says no to a name that no file can have, where `Path` raises.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_MAX_LISTED = 200


def cache_dir() -> Path:
    """Where the hub's client keeps downloaded models."""
    if cache := os.environ.get("HF_HUB_CACHE"):
        return Path(cache).expanduser()
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface"
    return Path(home).expanduser() / "hub"


def local_folder(model: str) -> Path | None:
    """The folder of a model that is on this machine: the path itself, or the newest snapshot of an id."""
    folder = Path(os.path.expanduser(model))  # which leaves ~nobody as it is, where Path has no home for it
    return folder.resolve() if os.path.isdir(folder) else cached_snapshot(model)


def local_tokenizer(name: str) -> Path | None:
    """The folder of a tokenizer that is on this machine: of a tokenizer.json, the folder itself, or of an id."""
    path = Path(os.path.expanduser(name))
    if path.name == "tokenizer.json" and os.path.isfile(path):
        return path.parent.resolve()  # before the file's own link is followed: the hub's cache keeps files elsewhere
    return path.resolve() if os.path.isdir(path) else cached_snapshot(name, proof="tokenizer.json")


def cached_snapshot(model: str, proof: str = "config.json") -> Path | None:
    """The newest snapshot of an id that has this file."""
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        return None
    folder = cache_dir() / f"models--{model.replace('/', '--')}" / "snapshots"
    if not os.path.isdir(folder):
        return None
    snapshots = [path for path in folder.iterdir() if (path / proof).is_file()]
    return max(snapshots, key=lambda path: path.stat().st_mtime, default=None)


def cached_models() -> Iterator[tuple[str, Path]]:
    """Ids in the cache with their newest snapshots, by name."""
    root = cache_dir()
    if not root.is_dir():
        return
    names = sorted(path.name for path in root.iterdir() if path.name.startswith("models--"))
    for name in names[:_MAX_LISTED]:
        model = name.removeprefix("models--").replace("--", "/", 1)
        snapshot = cached_snapshot(model)
        if snapshot is not None:
            yield model, snapshot
