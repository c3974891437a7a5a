"""Data files that runs can start from: the examples that come with the product, and uploads.

An upload is checked before it is kept, under an id and not under the name it came with, and its report is kept with
it: listing reads no file again that has not changed since.
"""

from __future__ import annotations

import os
import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from opd.data_loader import DataReport, PromptRecord, check_file, clean_file, load_prompts, shared_prompts
from opd.errors import InputError, NotFoundError
from opd.store.files import fsync_dir
from opd.store.studio import DatasetRow, StudioDb

_REPORT = TypeAdapter(DataReport)
_MAX_PREVIEWED_BYTES = 10_000_001  # one more than a line may have
_MAX_COMPARED_BYTES = 20_000_000


@dataclass(frozen=True)
class Dataset:
    """A data file with the report of its check."""

    id: str
    name: str
    origin: Literal["bundled", "uploaded"]
    path: Path
    created_time: float | None
    report: DataReport


class Datasets:
    """The bundled files in `bundled`, and uploads below `folder`.

    Args:
        bundled: name for people by path.
    """

    def __init__(self, db: StudioDb, folder: Path, bundled: dict[Path, str]):
        self._db = db
        self.folder = folder
        self._bundled = bundled
        self._reports: dict[tuple[Path, int, int], DataReport] = {}
        self._shared: dict[tuple[str, str], int] = {}

    def __iter__(self) -> Iterator[Dataset]:
        """Bundled files first, then uploads, newest first. Files that have gone are left out."""
        for path, name in self._bundled.items():
            yield Dataset(_slug(name), name, "bundled", path, None, self._report(path))
        for row in self._db.datasets():
            path = self.folder / row.file
            if path.is_file():
                yield Dataset(row.id, row.name, "uploaded", path, row.time, self._kept_report(row, path))

    def get(self, dataset_id: str) -> Dataset:
        """One dataset.

        Raises:
            NotFoundError: there is none of this id.
        """
        found = next((dataset for dataset in self if dataset.id == dataset_id), None)
        if found is None:
            raise NotFoundError(f"There is no dataset {dataset_id[:64]!r}.", hint="Upload the file again.")
        return found

    def preview(self, dataset: Dataset, num: int) -> list[PromptRecord]:
        """The first prompts of a file that a run may use; nothing of another. Reads no more than its first lines."""
        if not dataset.report.ok:
            return []
        with tempfile.TemporaryDirectory() as folder, open(dataset.path, "rb") as file:
            head = Path(folder, "head.jsonl")
            lines = iter(lambda: file.readline(_MAX_PREVIEWED_BYTES), b"")
            head.write_bytes(b"".join(islice(lines, num)))
            return load_prompts(head)

    def overlaps(self, dataset: Dataset) -> list[tuple[Dataset, int]]:
        """The other files that hold some of the same prompts, and how many; very large files are not compared."""
        found = []
        for other in self:
            sizes = (dataset.report.size_bytes, other.report.size_bytes)
            if other.id == dataset.id or max(sizes) > _MAX_COMPARED_BYTES:
                continue
            pair = (dataset.report.sha256, other.report.sha256)
            if pair not in self._shared:
                self._shared[pair] = self._shared[pair[::-1]] = shared_prompts(dataset.path, other.path)
            if self._shared[pair]:
                found.append((other, self._shared[pair]))
        return found

    def new_file(self) -> Path:
        """Where an upload is written while it comes in."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self.folder / f".incoming-{secrets.token_hex(8)}"

    def keep(self, incoming: Path, name: str, *, clean: bool = False) -> tuple[Dataset | None, DataReport]:
        """Check a file written at `new_file()` and keep it if a run may use it; else remove it.

        Args:
            clean: keep the prompts that can be used, each once, and leave out the rest.
        """
        try:
            if clean:
                _clean(incoming)
            report = check_file(incoming)
            if not report.ok:
                return None, replace(report, path=name)
            dataset_id = f"{_slug(name)}-{secrets.token_hex(4)}"
            path = self.folder / f"{dataset_id}.jsonl"
            report = replace(report, path=str(path))
            os.replace(incoming, path)
            fsync_dir(self.folder)
            kept = DatasetRow(dataset_id, name, path.name, time.time(), _REPORT.dump_json(report).decode())
            self._db.add_dataset(kept)
            return self.get(dataset_id), report
        finally:
            incoming.unlink(missing_ok=True)

    def delete(self, dataset_id: str) -> None:
        """Remove an upload.

        Raises:
            NotFoundError: there is none of this id.
            InputError: it is a bundled file.
        """
        dataset = self.get(dataset_id)
        if dataset.origin == "bundled":
            raise InputError(f"{dataset.name} comes with the product.", hint="Only uploads can be removed.")
        self._db.remove_dataset(dataset_id)
        dataset.path.unlink(missing_ok=True)

    def _kept_report(self, row: DatasetRow, path: Path) -> DataReport:
        report = _REPORT.validate_json(row.report)
        changed = path.stat().st_size != report.size_bytes or path.stat().st_mtime > row.time
        return self._report(path) if changed else report

    def _report(self, path: Path) -> DataReport:
        facts = path.stat()
        key = (path, facts.st_size, facts.st_mtime_ns)
        if key not in self._reports:
            self._reports[key] = check_file(path)
        return self._reports[key]


def _clean(path: Path) -> None:
    cleaned = path.with_name(f"{path.name}-cleaned")
    try:
        with cleaned.open("xb") as file:
            file.writelines(clean_file(path))
            file.flush()
            os.fsync(file.fileno())
        os.replace(cleaned, path)
    finally:
        cleaned.unlink(missing_ok=True)


def _slug(name: str) -> str:
    """A file's name as part of an id: small letters, digits and single dashes."""
    return re.sub(r"[^a-z0-9]+", "-", Path(name).stem.lower()).strip("-")[:40].strip("-") or "data"
