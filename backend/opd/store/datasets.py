"""Data files that runs can start from: the examples that come with the product, and uploads.

An upload is checked before it is kept, under an id and not under the name it came with. Reports are cached by the
file's size and time, so that listing does not read the files again.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from opd.data_loader import DataReport, PromptRecord, check_file, load_prompts
from opd.errors import InputError, NotFoundError
from opd.store.files import fsync_dir
from opd.store.studio import DatasetRow, StudioDb


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

    def __iter__(self) -> Iterator[Dataset]:
        """Bundled files first, then uploads, newest first. Files that have gone are left out."""
        for path, name in self._bundled.items():
            yield Dataset(_slug(name), name, "bundled", path, None, self._report(path))
        for row in self._db.datasets():
            path = self.folder / row.file
            if path.is_file():
                yield Dataset(row.id, row.name, "uploaded", path, row.time, self._report(path))

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
        """The first prompts of a file that a run may use; nothing of another."""
        return list(islice(load_prompts(dataset.path), num)) if dataset.report.ok else []

    def new_file(self) -> Path:
        """Where an upload is written while it comes in."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self.folder / f".incoming-{secrets.token_hex(8)}"

    def keep(self, incoming: Path, name: str) -> tuple[Dataset | None, DataReport]:
        """Check a file written at `new_file()` and keep it if a run may use it; else remove it."""
        try:
            report = check_file(incoming)
            if not report.ok:
                return None, replace(report, path=name)
            row = DatasetRow(f"{_slug(name)}-{secrets.token_hex(4)}", name, "", time.time())
            row = replace(row, file=f"{row.id}.jsonl")
            os.replace(incoming, self.folder / row.file)
            fsync_dir(self.folder)
            self._db.add_dataset(row)
            return self.get(row.id), replace(report, path=name)
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

    def _report(self, path: Path) -> DataReport:
        facts = path.stat()
        key = (path, facts.st_size, facts.st_mtime_ns)
        if key not in self._reports:
            self._reports[key] = check_file(path)
        return self._reports[key]


def _slug(name: str) -> str:
    """A file's name as part of an id: small letters, digits and single dashes."""
    return re.sub(r"[^a-z0-9]+", "-", Path(name).stem.lower()).strip("-")[:40].strip("-") or "data"
