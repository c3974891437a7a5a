"""What the data loader hands out: prompts, problems and the report on a file.

In: nothing. Out: frozen values, each with a JSON form. Knows nothing of files or of JSON syntax.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, TypedDict

Role = Literal["system", "user", "assistant", "tool"]
Severity = Literal["error", "warning", "note"]
Format = Literal["messages", "prompt_messages", "sharegpt", "alpaca", "prompt", "question"]

FORMAT_NAMES: dict[str, str] = {
    "messages": 'chat messages, {"messages": [{"role", "content"}, ...]}',
    "prompt_messages": 'chat prompts, {"prompt": [{"role", "content"}, ...]}',
    "sharegpt": 'ShareGPT, {"conversations": [{"from", "value"}, ...]}',
    "alpaca": 'Alpaca, {"instruction", "input", "output"}',
    "prompt": 'plain prompts, {"prompt": "..."}',
    "question": 'questions, {"question": "..."}',
    "mixed": "more than one format",
    "none": "no sample that could be read",
}


class Message(TypedDict):
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing found in a data file.

    `line` counts from 1. `byte_offset` counts from 0 at the start of the file and points at the first byte the
    problem is about. Only `error` makes a file unusable. A `note` is reported once per code, at its first line.
    """

    line: int
    byte_offset: int
    code: str
    reason: str
    fix: str
    severity: Severity = "error"

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PromptRecord:
    """One prompt: what the student is asked, and the data's own answer where it has one.

    `id` is a stable hash of the messages, so equal prompts have equal ids. `answer` is the reference completion;
    it is never part of the prompt. `line` is where the prompt stands in its file, from 1.
    """

    id: str
    messages: tuple[Message, ...]
    answer: str | None
    line: int


@dataclass(frozen=True, slots=True)
class Duplicate:
    """`line` holds the same prompt as `first_line`, white space and Unicode normal form aside."""

    line: int
    first_line: int


@dataclass(frozen=True, slots=True)
class CharStats:
    """Lengths in characters over all samples; percentiles by nearest rank."""

    total: int
    minimum: int
    mean: float
    median: int
    p95: int
    maximum: int


@dataclass(frozen=True, slots=True)
class DataReport:
    """Everything known about a data file after one pass.

    Counts are over usable samples. `num_messages` includes the system message and a reference answer that stands in
    the conversation. `problems` and `duplicates` are cut at the caller's limit; `problem_counts` and
    `num_duplicates` are complete.
    """

    path: str
    size_bytes: int
    sha256: str
    format: str
    formats: dict[str, int]
    num_lines: int
    num_samples: int
    num_messages: int
    average_messages: float
    num_system_messages: int
    num_references: int
    role_counts: dict[str, int]
    prompt_chars: CharStats
    answer_chars: CharStats
    num_duplicates: int
    duplicates: tuple[Duplicate, ...]
    num_errors: int
    num_warnings: int
    problem_counts: dict[str, int]
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether a run may use the file."""
        return self.num_errors == 0

    def as_dict(self) -> dict[str, object]:
        """The report as one JSON object."""
        return {"ok": self.ok, **asdict(self), "format_name": FORMAT_NAMES[self.format]}


@dataclass(frozen=True, slots=True)
class Split:
    """Prompts to train on and prompts held out, each in file order."""

    train: tuple[PromptRecord, ...]
    test: tuple[PromptRecord, ...]
