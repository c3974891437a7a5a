"""Small files that survive a crash: written aside, synced, renamed into place."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any


def data_dir() -> Path:
    """The folder that holds runs, datasets and databases: $OPD_DATA_DIR, else ~/.opd-studio."""
    return Path(os.environ.get("OPD_DATA_DIR") or Path.home() / ".opd-studio").expanduser().resolve()


def fsync_dir(folder: Path) -> None:
    """Make renames inside `folder` durable. A no-op where folders cannot be opened (Windows)."""
    if os.name == "nt":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_durably(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `data` such that after a crash either the old or the new content is there, whole.

    Args:
        mode: permissions of the file from its first byte on; secrets take 0o600.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    fsync_dir(path.parent)


def write_json(path: Path, value: Any) -> None:
    """`write_durably` for one JSON document."""
    write_durably(path, json.dumps(value, ensure_ascii=False, indent=1).encode())


def read_json(path: Path) -> Any:
    """The JSON document at `path`, or None when there is none (or only a torn one)."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def read_tail(path: Path, num_bytes: int) -> str:
    """The end of a text file, at most `num_bytes`, from a line's beginning; empty when there is no file."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - num_bytes))
            data = file.read()
    except FileNotFoundError:
        return ""
    text = data.decode("utf-8", "replace")
    return text.partition("\n")[2] if size > num_bytes else text
