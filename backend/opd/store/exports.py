"""Exports of a run as files: what was asked for, how far it is, and what was proven of it.

    exports/<form>/         the finished export, whole or not there
    exports/<form>.json     its record; a process at work keeps it up to date

As with runs, nothing on disk says "running": a record without an end is at work while its process lives.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import psutil
from pydantic import BaseModel, ConfigDict

from opd.events import RunFailure
from opd.store.files import read_json, write_json
from opd.store.runs import RunFolder

ExportForm = Literal["lora", "merged", "gguf", "ollama"]
ExportState = Literal["running", "done", "failed"]


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, json_schema_serialization_defaults_required=True
    )


class Check(_Model):
    """One thing that was proven of an export."""

    what: str
    found: str


class ExportedFile(_Model):
    """A file of an export."""

    name: str
    num_bytes: int
    sha256: str


class ExportReport(_Model):
    """A finished export."""

    form: ExportForm
    path: str
    """The folder on this machine."""
    run_id: str
    step: int | None
    """The checkpoint's; None for the run's finished model."""
    precision: str | None
    """Number format of a GGUF file's matrices."""
    files: list[ExportedFile]
    checks: list[Check]
    duration_s: float
    how_to_use: str
    """One command or line of code."""


class ExportRecord(_Model):
    """What is known of one export of a run."""

    form: ExportForm
    state: ExportState
    phase: str = ""
    """What it is doing, in words."""
    done: int = 0
    total: int = 0
    """Phases done, of so many."""
    report: ExportReport | None = None
    error: RunFailure | None = None


def exports_path(run: RunFolder) -> Path:
    """Folder of a run's exports."""
    return run.path / "exports"


def export_records(run: RunFolder) -> list[ExportRecord]:
    """Every export that was asked for, by form."""
    folder = exports_path(run)
    found = [read_record(run, path.stem) for path in sorted(folder.glob("*.json"))] if folder.is_dir() else []
    return [record for record in found if record is not None]


def read_record(run: RunFolder, form: str) -> ExportRecord | None:
    """One of them; None where it was never asked for, or its record cannot be read."""
    kept = read_json(exports_path(run) / f"{form}.json")
    if not isinstance(kept, dict):
        return None
    process = kept.pop("process", None)
    try:
        record = ExportRecord.model_validate(kept)
    except ValueError:
        return None
    if record.state == "running" and not is_alive(process):
        failure = RunFailure(
            code="export_interrupted", message="The export's process ended before its work.", hint="Export it again."
        )
        return record.model_copy(update={"state": "failed", "error": failure})
    return record


def write_record(run: RunFolder, record: ExportRecord, *, pid: int | None = None) -> None:
    """Keep a record, with the process that works on it."""
    exports_path(run).mkdir(mode=0o700, exist_ok=True)
    number = pid or os.getpid()
    created = psutil.Process(number).create_time() if record.state == "running" else 0.0
    kept = {**record.model_dump(), "process": {"pid": number, "create_time": created}}
    write_json(exports_path(run) / f"{record.form}.json", kept)


def is_alive(process: object) -> bool:
    """Same number and same start (numbers are reused), and not only waiting to be buried."""
    if not isinstance(process, dict):
        return False
    try:
        found = psutil.Process(int(process["pid"]))
        same = abs(found.create_time() - float(process["create_time"])) < 1.0
        return same and found.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False
