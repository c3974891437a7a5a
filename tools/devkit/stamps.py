"""Remembers what a step was last done for, so that nothing is done twice for the same inputs.

A stamp is a file in `.cache/stamps/` that holds the digest of a step's inputs. It is written after the step
succeeded and is believed only while the step's outputs exist.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from devkit.paths import CACHE

_SKIPPED_FOLDERS = {"node_modules", "dist", "coverage", "__pycache__"}


def digest(*parts: str | bytes) -> str:
    """SHA-256 over parts that cannot run into one another."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big"))
        total.update(data)
    return total.hexdigest()


def digest_files(paths: Iterable[Path]) -> str:
    """Digest of names and contents; folders are walked, missing files count as such."""
    parts: list[str | bytes] = []
    for path in paths:
        for file in sorted(_files_under(path)) if path.is_dir() else [path]:
            parts += [file.relative_to(path.parent).as_posix(), file.read_bytes() if file.is_file() else "missing"]
    return digest(*parts)


def is_fresh(name: str, wanted: str, outputs: Iterable[Path]) -> bool:
    """Whether the step `name` was last done for the inputs `wanted` and its outputs are still there."""
    stamp = _stamp(name)
    return stamp.is_file() and stamp.read_text("utf-8") == wanted and all(path.exists() for path in outputs)


def mark(name: str, done_for: str) -> None:
    """Records that the step `name` succeeded for these inputs."""
    stamp = _stamp(name)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(done_for, "utf-8")


def forget(name: str) -> None:
    """Makes the step run again: called before a step starts, so that half of it is never taken for all of it."""
    _stamp(name).unlink(missing_ok=True)


def _stamp(name: str) -> Path:
    return CACHE / "stamps" / name


def _files_under(folder: Path) -> Iterable[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SKIPPED_FOLDERS]
        yield from (Path(parent) / name for name in files)
