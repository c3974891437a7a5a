"""Statistics of a data file, gathered line by line, and the report as text.

In: conversations and problems in file order. Out: a `DataReport`, and its rendering for the terminal. Memory grows by
12 bytes a sample (duplicate search) and by the number of distinct lengths, never by the text.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from opd.data_loader.formats import Conversation
from opd.data_loader.reader import LineReader
from opd.data_loader.records import FORMAT_NAMES, CharStats, DataReport, Duplicate, Message, Problem, Severity


def twin_key(messages: Iterable[Message]) -> bytes:
    """A digest that prompts share when they differ in nothing but white space and Unicode normal form."""
    parts = [(message["role"], " ".join(message["content"].split())) for message in messages]
    text = unicodedata.normalize("NFC", json.dumps(parts, ensure_ascii=False))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


class FirstLines:
    """The first line on which each 64-bit key was seen, in 12 bytes a slot (a dict takes 180 a key).

    Two different prompts share a key with probability n^2 / 2^65: 3e-7 for three million prompts.
    """

    def __init__(self, slots: int = 1 << 10) -> None:
        self._keys = array("Q", bytes(8 * slots))
        self._lines = array("I", bytes(4 * slots))
        self._count = 0

    def first_or_add(self, key: int, line: int) -> int | None:
        """The line that already has `key`, or None after remembering `line` for it."""
        key = key or 1  # 0 marks a free slot
        slot = self._slot(key)
        if self._keys[slot] == key:
            return self._lines[slot]
        self._keys[slot], self._lines[slot] = key, line
        self._count += 1
        if self._count * 5 > len(self._keys) * 3:
            self._grow()
        return None

    def _slot(self, key: int) -> int:
        mask = len(self._keys) - 1
        slot = key & mask
        while self._keys[slot] not in (0, key):
            slot = (slot + 1) & mask
        return slot

    def _grow(self) -> None:
        keys, lines = self._keys, self._lines
        self._keys = array("Q", bytes(16 * len(keys)))
        self._lines = array("I", bytes(8 * len(keys)))
        for index, key in enumerate(keys):
            if key:
                slot = self._slot(key)
                self._keys[slot], self._lines[slot] = key, lines[index]


class ReportBuilder:
    """Collects what one pass over a file finds."""

    def __init__(self, max_errors: int):
        self._max_errors = max_errors
        self._problems: list[Problem] = []
        self._listed: Counter[Severity] = Counter()
        self._severities: Counter[Severity] = Counter()
        self._counts: Counter[str] = Counter()
        self._formats: Counter[str] = Counter()
        self._roles: Counter[str] = Counter()
        self._prompt_chars: Counter[int] = Counter()
        self._answer_chars: Counter[int] = Counter()
        self._first_lines = FirstLines()
        self._duplicates: list[Duplicate] = []
        self._num_duplicates = 0
        self._num_messages = 0
        self.num_samples = 0
        self.num_lines = 0

    def problem(self, problem: Problem) -> None:
        """Count a problem; list it unless the limit is reached (errors, warnings) or its note was given before."""
        self._counts[problem.code] += 1
        self._severities[problem.severity] += 1
        if problem.severity == "note":
            listed = self._counts[problem.code] == 1
        else:
            listed = self._listed[problem.severity] < self._max_errors
        if listed:
            self._problems.append(problem)
            self._listed[problem.severity] += 1

    @property
    def num_errors(self) -> int:
        return self._severities["error"]

    def is_new(self, code: str) -> bool:
        """Whether no problem with this code was counted yet."""
        return code not in self._counts

    def sample(self, conversation: Conversation, line: int, offset: int) -> None:
        """Count one usable conversation."""
        self.num_samples += 1
        self._num_messages += conversation.num_messages
        self._formats[str(conversation.format)] += 1
        self._roles.update(message["role"] for message in conversation.messages)
        if conversation.num_messages > len(conversation.messages):
            self._roles["assistant"] += 1
        self._prompt_chars[sum(len(message["content"]) for message in conversation.messages)] += 1
        if conversation.answer is not None:
            self._answer_chars[len(conversation.answer)] += 1
        first = self._first_lines.first_or_add(int.from_bytes(twin_key(conversation.messages)[:8], "big"), line)
        if first is not None:
            self._duplicate(line, first, offset)

    def _duplicate(self, line: int, first: int, offset: int) -> None:
        self._num_duplicates += 1
        if len(self._duplicates) < self._max_errors:
            self._duplicates.append(Duplicate(line, first))
        fix = "Remove one of the two; as it is, this prompt counts twice."
        reason = f"the same prompt as on line {first}"
        self.problem(Problem(line, offset, "duplicate_prompt", reason, fix, "warning"))

    def build(self, path: Path, reader: LineReader) -> DataReport:
        """The report; call after the last line."""
        return DataReport(
            path=str(path),
            size_bytes=reader.size_bytes,
            sha256=reader.sha256,
            format=_overall_format(self._formats),
            formats=dict(self._formats),
            num_lines=self.num_lines,
            num_samples=self.num_samples,
            num_messages=self._num_messages,
            average_messages=self._num_messages / self.num_samples if self.num_samples else 0.0,
            num_system_messages=self._roles["system"],
            num_references=self._answer_chars.total(),
            role_counts={role: count for role, count in self._roles.items() if count},
            prompt_chars=char_stats(self._prompt_chars),
            answer_chars=char_stats(self._answer_chars),
            num_duplicates=self._num_duplicates,
            duplicates=tuple(self._duplicates),
            num_errors=self._severities["error"],
            num_warnings=self._severities["warning"],
            problem_counts=dict(self._counts),
            problems=tuple(self._problems),
        )


def _overall_format(formats: Counter[str]) -> str:
    if not formats:
        return "none"
    return next(iter(formats)) if len(formats) == 1 else "mixed"


def char_stats(lengths: Counter[int]) -> CharStats:
    """Statistics from a table length -> number of samples; all zero when it is empty."""
    count = lengths.total()
    if not count:
        return CharStats(0, 0, 0.0, 0, 0, 0)
    ordered = sorted(lengths.items())
    total = sum(length * number for length, number in ordered)

    def rank(fraction: float) -> int:
        wanted, passed = fraction * count, 0
        for length, number in ordered:
            passed += number
            if passed >= wanted:
                return length
        return ordered[-1][0]

    return CharStats(total, ordered[0][0], total / count, rank(0.5), rank(0.95), ordered[-1][0])


def render_report(report: DataReport) -> str:
    """The report as lines of text for a terminal, problems included."""
    chars = report.prompt_chars
    roles = ", ".join(f"{count} {role}" for role, count in report.role_counts.items()) or "none"
    lines = [
        f"{report.path}",
        f"  Format           {FORMAT_NAMES[report.format]}",
        f"  Samples          {report.num_samples}",
        f"  Messages         {report.num_messages} ({report.average_messages:.1f} a sample; {roles})",
        f"  System messages  {report.num_system_messages}",
        f"  Prompt length    {chars.minimum}-{chars.maximum} characters, median {chars.median}, 95 % under {chars.p95}",
        f"  Answers in data  {report.num_references}"
        + (" (kept as references, not part of the prompts)" if report.num_references else ""),
        f"  Duplicates       {report.num_duplicates}",
        f"  Size             {report.size_bytes} bytes, {report.num_lines} lines, SHA-256 {report.sha256[:16]}",
    ]
    for problem in report.problems:
        lines.append(
            f"{problem.severity}: line {problem.line}, byte {problem.byte_offset}: {problem.reason} [{problem.code}]"
        )
        lines.append(f"    {problem.fix}")
        extra = report.problem_counts[problem.code] - 1
        if problem.severity == "note" and extra:
            lines.append(f"    ({extra} more of the same)")
    found = report.num_errors + report.num_warnings
    listed = sum(problem.severity != "note" for problem in report.problems)
    if found > listed:
        lines.append(f"... and {found - listed} more problems; the counts by kind: {_counts(report)}")
    lines.append(_verdict(report))
    return "\n".join(lines)


def _counts(report: DataReport) -> str:
    return ", ".join(f"{code} {count}" for code, count in sorted(report.problem_counts.items()))


def _verdict(report: DataReport) -> str:
    if report.ok:
        return f"OK: {report.num_samples} prompts can be used."
    noun = "problem" if report.num_errors == 1 else "problems"
    return f"Not usable: {report.num_errors} {noun} to correct."
