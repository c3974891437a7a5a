"""How commands speak: answers to stdout, words about the work to stderr, errors with what to do about them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from opd.errors import OPDError

JsonOption = Annotated[
    bool, typer.Option("--json", metavar="", help="Print one JSON document on stdout; messages go to stderr.")
]


def emit_json(value: Any) -> None:
    """The one JSON document of this command."""
    print(json.dumps(value, ensure_ascii=False, indent=2, default=str), flush=True)


def say(text: str) -> None:
    """A word about the work, for people."""
    print(text, file=sys.stderr, flush=True)


def say_error(error: OPDError) -> None:
    """What was found, what was expected, what to do; never a traceback."""
    say(f"Error: {error.message}")
    if error.hint:
        say(f"\n{error.hint}")


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as their widest cell, two spaces apart, the last one ragged."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([lines[0], "-" * min(100, len(lines[0])), *lines[1:]])


def seconds_text(seconds: float) -> str:
    """A duration for people: 42 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def bytes_text(num_bytes: float) -> str:
    """An amount of memory for people."""
    for size, word in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if num_bytes >= size:
            return f"{num_bytes / size:.1f} {word}"
    return f"{num_bytes:.0f} bytes"
