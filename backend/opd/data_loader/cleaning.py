"""A data file without what cannot be used, and what two files share.

In: a data file with any problems. Out: its usable prompts as lines of chat messages, each once; digests of prompts by
which files are compared. The rules are those of the check, so what comes out passes it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from opd.data_loader.formats import read_conversation
from opd.data_loader.reader import BOM, LineReader, identify_container, open_data_file
from opd.data_loader.records import Message
from opd.data_loader.report import twin_key
from opd.data_loader.strict_json import parse_line


def usable_prompts(path: Path, max_line_bytes: int) -> Iterator[tuple[tuple[Message, ...], str | None]]:
    """Messages and reference answer of every line that can be used, in file order; twins are kept.

    Raises:
        DataError: there is no readable regular file at `path`.
    """
    descriptor = open_data_file(path)
    try:
        reader = LineReader(descriptor, max_line_bytes=max_line_bytes)
        if identify_container(reader.head):
            return
        for line in reader:
            data = (line.data or b"").removeprefix(BOM if line.number == 1 else b"")
            value, flaw = parse_line(data) if data.strip(b" \t\r") else (None, None)
            if value is None or flaw:
                continue
            conversation = read_conversation(value)
            if not conversation.flaws:
                yield tuple(conversation.messages), conversation.answer
    finally:
        os.close(descriptor)


def cleaned_lines(path: Path, max_line_bytes: int) -> Iterator[bytes]:
    """The file as it should be: one line a prompt, `messages` and perhaps `answer`, no prompt twice."""
    seen: set[bytes] = set()
    for messages, answer in usable_prompts(path, max_line_bytes):
        key = twin_key(messages)
        if key in seen:
            continue
        seen.add(key)
        line: dict[str, object] = {"messages": list(messages), **({} if answer is None else {"answer": answer})}
        yield json.dumps(line, ensure_ascii=False).encode() + b"\n"


def prompt_keys(path: Path, max_line_bytes: int) -> frozenset[bytes]:
    """One digest for each different prompt; two files share the prompts whose digests they share."""
    return frozenset(twin_key(messages) for messages, _ in usable_prompts(path, max_line_bytes))
