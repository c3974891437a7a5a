"""Lists of guards, each with the change that takes it away and the story that then has to fail."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """A file with one guard gone, and the story that then goes wrong."""

    name: str
    file: str
    story: str
    text: str
    replacement: str

    def applied(self, source: str) -> str:
        """The file's source without the guard."""
        found = source.count(self.text)
        assert found == 1, f"{self.text!r} occurs {found} times in {self.file}: adjust the list"
        return source.replace(self.text, self.replacement)


def read_mutants(path: Path) -> list[Mutant]:
    """The list in a file; its first lines say how it is written."""
    mutants = []
    for block in path.read_text(encoding="utf-8").split("\n## ")[1:]:
        name, file, story, *lines = block.rstrip("\n").split("\n")
        texts = ["".join(f"{line[1:]}\n" for line in lines if line.startswith(mark)) for mark in "-+"]
        mutants.append(Mutant(name, file, story, *(text.replace("~\n", "") for text in texts)))
    return mutants
