"""Where the bundled models and the demo's data files are. Imports no machine-learning package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

DATA_FILES = ("train", "validation", "held_out")


def teacher_dir() -> Path:
    """Folder of the bundled teacher: safetensors, configuration, tokenizer."""
    return _package() / "models" / "teacher"


def chat_teacher_dir() -> Path:
    """Folder of the adapters with which the bundled teacher also writes questions and marks drafts: what is served as a
    chat API. They name the teacher's folder as their base."""
    return _package() / "models" / "chat_teacher"


def student_dir() -> Path:
    """Folder of the bundled student, in the same form."""
    return _package() / "models" / "student"


def data_path(name: str) -> Path:
    """One of the demo's data files.

    Args:
        name: train, validation or held_out.

    Raises:
        ValueError: another name.
    """
    if name not in DATA_FILES:
        raise ValueError(f"No demo data named {name!r}; there are {', '.join(DATA_FILES)}.")
    return _package() / "data" / f"{name}.jsonl"


def _package() -> Path:
    # The package is installed as files, never as a zip: the models are read by path.
    return Path(str(files("opd.demo")))
