"""What a bench found, as files: JSON with the rows of every bench so far, the pictures drawn from it, and the tables in
a Markdown page whose prose is a person's.

A page holds the tables between marks, such as `<!-- rows: logit -->` and `<!-- end -->`; what stands between them is
written anew, the rest is left alone. A row that is measured again replaces the older one, the others stay as they were,
so a table can be filled over many days; each row says when and where it was measured.
"""

from __future__ import annotations

import json
import platform
import re
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import opd
from opd.bench.methods.catalogue import COMPARISONS, ROWS, Group
from opd.bench.methods.picture import draw
from opd.bench.methods.table import Line, difference, render_differences, render_rows
from opd.errors import ConfigError
from opd.machine import find_device
from opd.store.files import write_durably

NAME = "methods-benchmark"
_BLOCK = re.compile(r"(<!-- (rows|differences): (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_TITLES: dict[Group, str] = {
    "logit": "Teachers that score tokens",
    "chat": "Teachers with text only",
    "regime": "Many prompts and few",
}


def document(lines: Sequence[Line], num_seeds: int) -> dict[str, Any]:
    """The bench's JSON."""
    found = {line.row.name: line for line in lines}
    measured = {"date": time.strftime("%Y-%m-%d"), "device": find_device().name}
    return {
        "bench": "methods",
        "versions": {
            "opd-studio": opd.__version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "transformers", "trl")},
        },
        "seeds": list(range(num_seeds)),
        "rows": [{**line.as_dict(), **measured} for line in lines],
        "differences": [
            {**difference(one, found), **measured} for one in COMPARISONS if {one.row, one.than} <= found.keys()
        ],
    }


def merged(older: Mapping[str, Any], newer: Mapping[str, Any]) -> dict[str, Any]:
    """The newer document with the rows and differences that only the older one has, in the catalogue's order."""
    order = {row.name: place for place, row in enumerate(ROWS)}
    rows = {row["method"]: row for row in [*older["rows"], *newer["rows"]]}
    differences = {(one["method"], one["than"]): one for one in [*older["differences"], *newer["differences"]]}
    # A difference is only worth what both its rows are: one that was not measured anew with them is left out.
    again = {row["method"] for row in newer["rows"]}
    fresh = {(one["method"], one["than"]) for one in newer["differences"]}
    asked = [(one.row, one.than) for one in COMPARISONS]
    return {
        **newer,
        "rows": sorted((row for row in rows.values() if row["method"] in order), key=lambda row: order[row["method"]]),
        "differences": [
            differences[pair] for pair in asked if pair in differences and (pair in fresh or again.isdisjoint(pair))
        ],
    }


def write(found: Mapping[str, Any], folder: Path) -> list[Path]:
    """Bring the files in a folder up to date with these rows.

    Returns:
        What was written: JSON, page, pictures.

    Raises:
        ConfigError: the JSON that is there already is no bench of methods.
    """
    kept, page = folder / f"{NAME}.json", folder / f"{NAME}.md"
    older = _older(kept) if kept.exists() else {"rows": [], "differences": []}
    whole = merged(older, found)
    text = page.read_text("utf-8") if page.exists() else ""
    if text in ("", filled(_plain_page(older), older)):  # nobody has written into it
        text = _plain_page(whole)
    texts = {kept: json.dumps(whole, indent=1) + "\n", page: filled(text, whole)}
    texts |= {folder / name: text for name, text in pictures(texts[page], whole).items()}
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, text.encode())
    return list(texts)


def filled(page: str, found: Mapping[str, Any]) -> str:
    """The page with its tables written anew."""

    def block(match: re.Match[str]) -> str:
        begin, kind, group, end = match.groups()
        names = {row["method"]: row for row in _rows_of(found, group)}
        if kind == "rows":
            text = render_rows(list(names.values()))
        else:
            ours = [one for one in found["differences"] if {one["method"], one["than"]} <= names.keys()]
            text = render_differences(ours)
        return f"{begin}\n{text}\n\n{end}"

    return _BLOCK.sub(block, page)


def pictures(page: str, found: Mapping[str, Any]) -> dict[str, str]:
    """File below the folder → SVG, for each group whose picture the page shows."""
    names = {group: f"img/{NAME}-{group}.svg" for group in _TITLES}
    return {name: draw(_rows_of(found, group), _TITLES[group]) for group, name in names.items() if name in page}


def _rows_of(found: Mapping[str, Any], group: str) -> list[Mapping[str, Any]]:
    return [row for row in found["rows"] if group in row["groups"]]


def _plain_page(found: Mapping[str, Any]) -> str:
    parts = ["# Methods against each other\n\nMade by `opd bench methods --out`.\n"]
    for group, title in _TITLES.items():
        if any(len(row["groups"]) < len(_TITLES) for row in _rows_of(found, group)):  # more than what all groups have
            parts.append(
                f"## {title}\n\n<!-- rows: {group} -->\n<!-- end -->\n\n"
                f"![{title}](img/{NAME}-{group}.svg)\n\n<!-- differences: {group} -->\n<!-- end -->\n"
            )
    return "\n".join(parts)


def _older(path: Path) -> dict[str, Any]:
    try:
        older = json.loads(path.read_text("utf-8"))
        if older["bench"] == "methods":
            return {"rows": older["rows"], "differences": older["differences"]}
    except (ValueError, KeyError, TypeError):
        pass
    raise ConfigError(f"{path} is no bench of methods.", hint="Give another folder, or move that file away.")
