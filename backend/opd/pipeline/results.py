"""Results of finished stages, kept in the run's folder so that a resumed run does not repeat them.

stages/<name>.json     written durably when the stage is complete
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from opd.store.files import read_json, write_json


class Results:
    """Stage results of one run, by name."""

    def __init__(self, folder: Path):
        self._folder = folder / "stages"

    def get(self, name: str) -> Any:
        """The result, or None if the stage is not complete."""
        return read_json(self._folder / f"{name}.json")

    def put(self, name: str, value: Any) -> None:
        """Keep a stage's result; from now on the stage counts as complete."""
        self._folder.mkdir(exist_ok=True)
        write_json(self._folder / f"{name}.json", value)

    def once(self, name: str, work: Callable[[], Any]) -> Any:
        """The kept result, else that of `work`, which is then kept."""
        kept = self.get(name)
        if kept is None:
            kept = work()
            self.put(name, kept)
        return kept
