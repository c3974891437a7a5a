"""Bytes -> prompts: validation, statistics, split, Dataset.

In: a JSONL file of chat prompts (or ShareGPT, Alpaca, plain prompts). Out: a `DataReport` with every problem at its
line and byte offset, `PromptRecord`s, a deterministic train/test split, a Hugging Face `Dataset`. Knows nothing of
tokenizers, models or runs, and imports no machine-learning package (`to_dataset` does, when called).

Datasets are read here and not by `datasets.load_dataset`, which alters invalid UTF-8 silently, converts types to fit
the first rows and cannot say which byte is wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from opd.data_loader.cleaning import cleaned_lines, prompt_keys
from opd.data_loader.formats import Conversation, detect_format, read_conversation
from opd.data_loader.json_walk import locate
from opd.data_loader.reader import BOM, LineReader, Progress, RawLine, identify_container, open_data_file
from opd.data_loader.records import (
    FORMAT_NAMES,
    CharStats,
    DataReport,
    Duplicate,
    Message,
    Problem,
    PromptRecord,
    Split,
)
from opd.data_loader.report import ReportBuilder, render_report, twin_key
from opd.data_loader.strict_json import parse_line
from opd.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from datasets import Dataset

__all__ = [
    "CharStats",
    "DataReport",
    "Duplicate",
    "Message",
    "Problem",
    "PromptRecord",
    "Split",
    "check_file",
    "clean_file",
    "detect_format",
    "load_prompts",
    "prompt_id",
    "render_report",
    "shared_prompts",
    "split",
    "to_dataset",
]

MAX_LINE_BYTES = 10_000_000
MAX_ERRORS = 100


def check_file(
    path: str | os.PathLike[str],
    *,
    max_errors: int = MAX_ERRORS,
    max_line_bytes: int = MAX_LINE_BYTES,
    progress: Progress | None = None,
) -> DataReport:
    """Read a whole data file once, in bounded memory, and report what it holds and what is wrong with it.

    Args:
        max_errors: how many errors, and how many warnings, are listed; all are counted.
        max_line_bytes: longer lines are reported and skipped.
        progress: called with (bytes read, bytes in the file).

    Raises:
        DataError: there is no readable regular file at `path`. Bad content is reported, not raised.
    """
    return _read(Path(path), None, max_errors, max_line_bytes, progress)


def load_prompts(path: str | os.PathLike[str], *, expected_sha256: str | None = None) -> list[PromptRecord]:
    """All prompts of a file in file order; duplicates are kept.

    Args:
        expected_sha256: the hash of an earlier check; a file that has changed since is refused.

    Raises:
        DataError: the file cannot be read, has a problem (`details` is the whole report) or has changed.
    """
    records: list[PromptRecord] = []
    report = _read(Path(path), records, MAX_ERRORS, MAX_LINE_BYTES, None)
    if not report.ok:
        raise _unusable(report)
    if expected_sha256 is not None and report.sha256 != expected_sha256:
        raise DataError(
            f"{report.path} has changed since it was checked: SHA-256 {report.sha256[:16]}, "
            f"expected {expected_sha256[:16]}.",
            hint="Check the file again and start a new run, or restore the file.",
            details={"problem": "changed", "path": report.path},
        )
    return records


def clean_file(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """The usable prompts of a file, each once, as JSONL lines of chat messages that pass `check_file`.

    Raises:
        DataError: the file cannot be read.
    """
    return cleaned_lines(Path(path), MAX_LINE_BYTES)


def shared_prompts(path: str | os.PathLike[str], other: str | os.PathLike[str]) -> int:
    """How many different prompts two files have in common: held-out prompts that were trained on prove nothing.

    Raises:
        DataError: one of them cannot be read.
    """
    return len(prompt_keys(Path(path), MAX_LINE_BYTES) & prompt_keys(Path(other), MAX_LINE_BYTES))


def prompt_id(messages: Sequence[Message]) -> str:
    """16 hex digits that identify a prompt's exact messages, the same on every machine and in every version."""
    canonical = json.dumps(
        [[message["role"], message["content"]] for message in messages], ensure_ascii=False, separators=(",", ":")
    )
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def split(records: Sequence[PromptRecord], test_fraction: float, seed: int) -> Split:
    """Divide prompts into train and test by hash, the same on every machine.

    Twins (equal but for white space and Unicode form) stay on one side. The test side has `test_fraction` of the
    different prompts, rounded half up, but at least one prompt and never all of them when there are two. Which side a
    prompt falls on depends on its text and the seed, not on its place in the file.

    Args:
        test_fraction: 0 to 1; 0 keeps every prompt for training.

    Raises:
        DataError: a fraction outside [0, 1).
    """
    if not 0 <= test_fraction < 1:
        raise DataError(
            f"The test fraction is {test_fraction}; expected a number from 0 up to, not including, 1.",
            hint="0.2 holds out one prompt in five.",
        )
    keys = [twin_key(record.messages) for record in records]
    groups = sorted(set(keys), key=lambda key: hashlib.sha256(f"{seed}:".encode() + key).digest())
    num_test = 0
    if test_fraction > 0 and len(groups) > 1:
        num_test = min(max(int(len(groups) * test_fraction + 0.5), 1), len(groups) - 1)
    held_out = set(groups[:num_test])
    train = tuple(record for record, key in zip(records, keys, strict=True) if key not in held_out)
    test = tuple(record for record, key in zip(records, keys, strict=True) if key in held_out)
    return Split(train, test)


def to_dataset(records: Sequence[PromptRecord]) -> Dataset:
    """A Hugging Face Dataset with the one column `prompt`, a list of {role, content} as TRL's trainers expect."""
    from datasets import Dataset

    return Dataset.from_dict({"prompt": [[dict(message) for message in record.messages] for record in records]})


def _unusable(report: DataReport) -> DataError:
    errors = [problem for problem in report.problems if problem.severity == "error"]
    shown = [f"line {p.line}, byte {p.byte_offset}: {p.reason}. {p.fix}" for p in errors[:3]]
    if report.num_errors > len(shown):
        shown.append(f"... and {report.num_errors - len(shown)} more; `opd data check` lists them.")
    noun = "problem" if report.num_errors == 1 else "problems"
    return DataError(
        f"{report.path} has {report.num_errors} {noun} in {report.num_lines} lines; expected chat prompts as JSONL.",
        hint="\n".join(shown),
        details=report.as_dict(),
    )


# --- one pass over a file ---------------------------------------------------------------------------


def _read(
    path: Path, records: list[PromptRecord] | None, max_errors: int, max_line_bytes: int, progress: Progress | None
) -> DataReport:
    descriptor = open_data_file(path)
    try:
        reader = LineReader(descriptor, max_line_bytes=max_line_bytes, progress=progress)
        builder = ReportBuilder(max_errors)
        container = identify_container(reader.head)
        if container:
            reader.drain()
            builder.problem(Problem(container.line, container.offset, container.code, container.reason, container.fix))
        else:
            for line in reader:
                _read_line(line, builder, records, max_line_bytes)
            _check_whole(reader, builder)
        return builder.build(path, reader)
    except OSError as error:
        raise DataError(
            f"{path} could not be read to the end: {error.strerror or error}.",
            hint="Check the disk or the network drive and try again.",
            details={"problem": "read_failed", "path": str(path)},
        ) from error
    finally:
        os.close(descriptor)


def _read_line(line: RawLine, builder: ReportBuilder, records: list[PromptRecord] | None, max_line_bytes: int) -> None:
    builder.num_lines += 1
    number, offset, data = line.number, line.offset, line.data
    if data is None:
        reason = f"the line has {line.num_bytes:,} bytes; at most {max_line_bytes:,} are read"
        fix = "Shorten it; a prompt this long fits no model. If the file has no line breaks, it is not JSONL."
        builder.problem(Problem(number, offset, "line_too_long", reason, fix))
        return
    if number == 1 and data.startswith(BOM):
        fix = "Nothing to do; save as UTF-8 without BOM to get rid of it."
        builder.problem(Problem(1, 0, "bom", "the file begins with a byte order mark; it is skipped", fix, "note"))
        data, offset = data[len(BOM) :], offset + len(BOM)
    if not data.strip(b" \t\r"):
        builder.problem(Problem(number, offset, "blank_line", "an empty line; it is skipped", "Nothing to do.", "note"))
        return
    value, flaw = parse_line(data)
    if flaw:
        builder.problem(Problem(number, offset + flaw.byte_index, flaw.code, flaw.reason, flaw.fix))
        return
    conversation = read_conversation(value)
    for found in conversation.flaws:
        builder.problem(Problem(number, offset + locate(data, found.path), found.code, found.reason, found.fix))
    if not conversation.flaws:
        _keep(conversation, line, offset, data, builder, records)


def _keep(
    conversation: Conversation,
    line: RawLine,
    offset: int,
    data: bytes,
    builder: ReportBuilder,
    records: list[PromptRecord] | None,
) -> None:
    for note in conversation.notes:
        position = offset + locate(data, note.path) if builder.is_new(note.code) else offset
        builder.problem(Problem(line.number, position, note.code, note.reason, note.fix, "note"))
    if conversation.format != "messages":
        reason = f"{FORMAT_NAMES[str(conversation.format)]}: converted to chat messages"
        builder.problem(Problem(line.number, offset, "converted", reason, "Nothing to do.", "note"))
    builder.sample(conversation, line.number, offset)
    if records is not None:
        messages = tuple(conversation.messages)
        records.append(PromptRecord(prompt_id(messages), messages, conversation.answer, line.number))


def _check_whole(reader: LineReader, builder: ReportBuilder) -> None:
    """What only the whole file shows."""
    if reader.size_bytes == 0:
        fix = "Write one JSON object per line; `examples/data` has a file to start from."
        builder.problem(Problem(1, 0, "empty_file", "the file is empty", fix))
    elif builder.num_samples == 0 and not builder.num_errors:
        builder.problem(Problem(1, 0, "no_samples", "the file has only empty lines", "Add a prompt to it."))
    if reader.changed:
        fix = "Wait until the other program has finished writing, then check again."
        builder.problem(Problem(1, 0, "changed_while_read", "the file changed while it was read", fix))
