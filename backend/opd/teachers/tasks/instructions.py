"""The instructions that teachers are given: one readable file each, `prompts/<name>.v<version>.md`.

A changed instruction is a new file with the next version: the version is part of the answer cache's key, so replies to
the old wording are never taken for replies to the new one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "prompts"
_PLACE = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True)
class Instruction:
    """An instruction with places to fill in."""

    name: str
    version: int
    text: str

    @property
    def label(self) -> str:
        """Name and version, as the cache key has them: `mark.v1`."""
        return f"{self.name}.v{self.version}"

    def fill(self, **values: str) -> str:
        """The message to send. What is filled in is not looked at again: a draft may contain `{{question}}`.

        Raises:
            KeyError: a place without a value, or a value without a place.
        """
        places = set(_PLACE.findall(self.text))
        if places != set(values):
            raise KeyError(f"{self.label} has places for {sorted(places)}, given were {sorted(values)}")
        return _PLACE.sub(lambda found: values[found[1]], self.text)


@cache
def instruction(name: str) -> Instruction:
    """The newest version of an instruction.

    Raises:
        KeyError: there is none of this name.
    """
    versions = {int(path.name.removesuffix(".md").rpartition(".v")[2]): path for path in _FOLDER.glob(f"{name}.v*.md")}
    if not versions:
        raise KeyError(f"No instruction {name}; there are {[path.stem for path in sorted(_FOLDER.glob('*.md'))]}")
    newest = max(versions)
    return Instruction(name, newest, versions[newest].read_text(encoding="utf-8").removesuffix("\n"))
