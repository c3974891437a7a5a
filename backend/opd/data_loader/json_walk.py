"""Places in a line of JSON that parses: where a value stands, where a key is repeated.

In: the text of a line and a path such as `("messages", 1, "role")`. Out: positions. Walks the tokens in Python, so it
is called only for lines that have something to report.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

PathStep = str | int

STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
TOKEN = re.compile(STRING + r"|[\[\]{},:]|-?(?:Infinity|NaN|[0-9][0-9.eE+-]*+)|true|false|null", re.DOTALL)


def locate(data: bytes, path: tuple[PathStep, ...]) -> int:
    """Byte index of the value at `path` in a line that parses; of its nearest parent where the path ends early."""
    text = data.decode("utf-8", "replace")
    best, best_length = 0, -1
    for position, found in _values(text):
        length = len(found)
        if length > best_length and found == path[:length]:
            best, best_length = position, length
            if length == len(path):
                break
    return byte_index(text, best)


def byte_index(text: str, index: int) -> int:
    """Number of UTF-8 bytes before character `index`."""
    return len(text[:index].encode("utf-8", "surrogatepass"))


def _values(text: str) -> Iterator[tuple[int, tuple[PathStep, ...]]]:
    """Position and path of every value in a text that parses, parents before children."""
    path: list[PathStep] = []
    in_object: list[bool] = []
    expect_key = False
    for match in TOKEN.finditer(text):
        lexeme = match[0]
        if lexeme in "}]":
            path.pop()
            in_object.pop()
        elif lexeme == ",":
            expect_key = in_object[-1]
            last = path[-1]
            path[-1] = last if isinstance(last, str) else last + 1
        elif lexeme == ":":
            expect_key = False
        elif expect_key:
            path[-1] = json.loads(lexeme)
        else:
            yield match.start(), tuple(path)
            if lexeme in "{[":
                in_object.append(lexeme == "{")
                path.append("" if lexeme == "{" else 0)
                expect_key = lexeme == "{"


def find_duplicate_key(text: str) -> tuple[int, str]:
    """Position and name of the first key that its object already has."""
    seen: list[set[str] | None] = []
    expect_key = False
    for match in TOKEN.finditer(text):
        lexeme = match[0]
        if lexeme in "{[":
            seen.append(set() if lexeme == "{" else None)
            expect_key = lexeme == "{"
        elif lexeme in "}]":
            seen.pop()
        elif lexeme == ",":
            expect_key = seen[-1] is not None
        elif lexeme == ":":
            expect_key = False
        elif expect_key:
            key = str(json.loads(lexeme))
            keys = seen[-1] or set()
            if key in keys:
                return match.start(), key
            keys.add(key)
            seen[-1] = keys
    return 0, ""
