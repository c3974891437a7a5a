"""Analyst arithmetic: the bundled demo's task, whose answers can be checked.

In: a seed. Out: short questions of the trade whose answer is a sum or a difference of two two-digit amounts, their
worked answers, and whether a completion is right. Knows nothing of models, tokenizers or files.

A worked answer has three lines: the units, the tens, the answer. A line of a sum always says what is carried into it,
so it is one fact about two digits and a carry. "Cloud 34, Ads 57. Total?" makes

    4+7+0=11
    3+5+1=9
    =91

The two digits of a sum may stand in either order: a question has several right workings and one right answer.
Differences never borrow: "Cash 97, paid 34. Left?" makes 7-4=3, 9-3=6, =63.

Train, validation and held-out questions are disjoint by construction: the split of a question is a function of its
operation and its unordered pair of amounts, whatever its words (`split_of`).
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple, TypedDict

Operation = Literal["+", "-"]
Split = Literal["train", "validation", "held_out"]

LOWEST, HIGHEST = 10, 99
NUM_TRAIN_PROMPTS = 119
NUM_VALIDATION_PROMPTS = 100
NUM_LINES = 3
# Share of differences among the questions of every file, and in training.
DIFFERENCE_SHARE = 1 / 6

SEGMENTS = ("Cloud", "Retail", "Energy", "Chips", "Ads", "Media", "Banks", "Autos")
PHRASINGS: dict[Operation, tuple[str, ...]] = {
    "+": (
        "{first} {left}, {second} {right}. Total?",
        "Cash {left}, receipts {right}. Cash now?",
        "Debt {left}, new loan {right}. Debt now?",
        "Sales {left}, growth {right}. New sales?",
    ),
    "-": (
        "Sales {left}, last year {right}. Change?",
        "Cash {left}, paid {right}. Left?",
        "Assets {left}, debt {right}. Equity?",
        "Sales {left}, costs {right}. Profit?",
    ),
}
_SPLIT_BINS: dict[Split, range] = {"held_out": range(2), "validation": range(2, 3), "train": range(3, 20)}
_LINE = re.compile(r"(\d)([+-])(\d)(?:\+([01]))?=(\d{1,2})", re.ASCII)
_ANSWER = re.compile(r"=(\d{1,3})", re.ASCII)


class PromptRow(TypedDict):
    """One line of a data file: the conversation so far and the expected number."""

    messages: list[dict[str, str]]
    answer: str


@dataclass(frozen=True)
class Question:
    """Words and what they ask for: `left` operation `right`, each LOWEST..HIGHEST; a difference is above zero."""

    text: str
    operation: Operation
    left: int
    right: int

    @property
    def answer(self) -> int:
        """The right number."""
        return self.left + self.right if self.operation == "+" else self.left - self.right


class Line(NamedTuple):
    """One line of working as somebody wrote it, right or wrong. `carry` is None in a difference."""

    first: int
    operation: str
    second: int
    carry: int | None
    result: int

    def __str__(self) -> str:
        carry = "" if self.carry is None else f"+{self.carry}"
        return f"{self.first}{self.operation}{self.second}{carry}={self.result}"

    def worked_out(self) -> Line:
        """The same line with its true result (a difference stops at zero)."""
        value = self.first + self.second if self.operation == "+" else max(self.first - self.second, 0)
        return self._replace(result=value + (self.carry or 0))


def split_of(operation: Operation, left: int, right: int) -> Split:
    """The one split that may ask for this: by a hash of the operation and the unordered pair."""
    key = f"{operation}:{min(left, right)}:{max(left, right)}".encode()
    place = int.from_bytes(hashlib.blake2b(key, digest_size=4).digest(), "big") % 20
    return next(name for name, places in _SPLIT_BINS.items() if place in places)


# --- questions -----------------------------------------------------------------------------------


def ask(operation: Operation, left: int, right: int, rng: random.Random) -> Question:
    """A question for these amounts, in words drawn from `rng`."""
    first, second = rng.sample(SEGMENTS, 2)
    words = rng.choice(PHRASINGS[operation])
    return Question(words.format(left=left, right=right, first=first, second=second), operation, left, right)


def draw_question(split: Split, rng: random.Random, difference_share: float = DIFFERENCE_SHARE) -> Question:
    """A random question of this split; the same may come again."""
    operation: Operation = "-" if rng.random() < difference_share else "+"
    while True:
        left, right = rng.randint(LOWEST, HIGHEST), rng.randint(LOWEST, HIGHEST)
        if operation == "-":
            left, right = max(left, right), min(left, right)
        if split_of(operation, left, right) == split and _can_be_asked(operation, left, right):
            return ask(operation, left, right, rng)


def _can_be_asked(operation: Operation, left: int, right: int) -> bool:
    """Any sum; a difference above zero that does not borrow."""
    return operation == "+" or (left > right and left % 10 >= right % 10)


def parse_question(text: str) -> Question | None:
    """The question with exactly these words; None for any other text, amounts out of range included."""
    for operation, pattern in _patterns():
        found = pattern.fullmatch(text.strip())
        if found is None:
            continue
        left, right = int(found["left"]), int(found["right"])
        if "first" in found.groupdict() and found["first"] == found["second"]:
            return None
        if min(left, right) < LOWEST or not _can_be_asked(operation, left, right):
            return None
        return Question(text.strip(), operation, left, right)
    return None


@cache
def _patterns() -> list[tuple[Operation, re.Pattern[str]]]:
    segment = "|".join(SEGMENTS)
    parts = {"left": r"(?P<left>\d\d)", "right": r"(?P<right>\d\d)"}
    parts |= {name: f"(?P<{name}>{segment})" for name in ("first", "second")}
    patterns: list[tuple[Operation, re.Pattern[str]]] = []
    for operation, texts in PHRASINGS.items():
        for text in texts:
            escaped = re.sub(r"\\\{(\w+)\\\}", r"{\1}", re.escape(text))
            patterns.append((operation, re.compile(escaped.format(**parts), re.ASCII)))
    return patterns


# --- answers -------------------------------------------------------------------------------------


def solve(question: Question, rng: random.Random | None = None) -> str:
    """A right worked answer. Sums put the left amount's digit first; with `rng`, either order with equal chance."""
    lines: list[str] = []
    while choices := next_lines(question, lines):
        lines.append(rng.choice(choices) if rng else choices[0])
    return "\n".join(lines)


def next_lines(question: Question, written: Sequence[str]) -> tuple[str, ...]:
    """The right next lines *given the lines before as they were written*, mistakes included; best known first.

    The carry is what the first line shows, the answer puts together the results that were written. A line that cannot
    be read counts as its right version. Empty after the last line: the answer is complete.
    """
    if len(written) >= NUM_LINES:
        return ()
    (left_tens, left_units), (right_tens, right_units) = divmod(question.left, 10), divmod(question.right, 10)
    is_sum = question.operation == "+"
    first = Line(left_units, question.operation, right_units, 0 if is_sum else None, 0).worked_out()
    if not written:
        return _orders(first)
    units = read_line(written[0]) or first
    carry = int(units.result > 9) if is_sum else None
    second = Line(left_tens, question.operation, right_tens, carry, 0).worked_out()
    if len(written) == 1:
        return _orders(second)
    tens = read_line(written[1]) or second
    return (f"={tens.result * 10 + units.result % 10}",)


def read_line(text: str) -> Line | None:
    """The parts of a line of working; None where it has another form."""
    found = _LINE.fullmatch(text)
    if found is None or (found[2] == "+") != (found[4] is not None):
        return None
    carry = None if found[4] is None else int(found[4])
    return Line(int(found[1]), found[2], int(found[3]), carry, int(found[5]))


def _orders(line: Line) -> tuple[str, ...]:
    if line.operation == "-" or line.first == line.second:
        return (str(line),)
    return (str(line), str(line._replace(first=line.second, second=line.first)))


def final_answer(text: str) -> int | None:
    """The number on the last line, which has to have the form "=91"; None where there is none."""
    found = _ANSWER.fullmatch(text.strip().rpartition("\n")[2].strip())
    return int(found[1]) if found else None


def is_correct(question: Question, completion: str) -> bool:
    """Whether the completion ends in the right number. How it got there does not count."""
    return final_answer(completion) == question.answer


# --- files ---------------------------------------------------------------------------------------


def questions_of(split: Split, seed: int = 0) -> Iterator[Question]:
    """Every pair of this split once, each in one phrasing, in a random order with DIFFERENCE_SHARE throughout.

    Ends when the sums are used up (there are about as many differences, so some of those never come).
    """
    rng = random.Random(f"{split}:{seed}")  # seeded by text: the same on every platform and Python version
    pairs: dict[Operation, list[tuple[int, int]]] = {"+": [], "-": []}
    for operation, found in pairs.items():
        for low in range(LOWEST, HIGHEST + 1):
            for high in range(low + (operation == "-"), HIGHEST + 1):
                if split_of(operation, low, high) == split and _can_be_asked(operation, high, low):
                    swap = operation == "-" or rng.random() < 0.5
                    found.append((high, low) if swap else (low, high))
        rng.shuffle(found)
    while pairs["+"]:
        operation = "-" if rng.random() < DIFFERENCE_SHARE and pairs["-"] else "+"
        left, right = pairs[operation].pop()
        yield ask(operation, left, right, rng)


def train_prompts(n: int = NUM_TRAIN_PROMPTS, seed: int = 0) -> list[PromptRow]:
    """The first `n` training questions; the pairs of amounts differ."""
    return _rows("train", n, seed)


def validation_prompts(n: int = NUM_VALIDATION_PROMPTS, seed: int = 0) -> list[PromptRow]:
    """The first `n` validation questions, on which a learning rate may be chosen."""
    return _rows("validation", n, seed)


def held_out_prompts(n: int | None = None, seed: int = 0) -> list[PromptRow]:
    """The first `n` held-out questions; None: all there are."""
    return _rows("held_out", n, seed)


def _rows(split: Split, n: int | None, seed: int) -> list[PromptRow]:
    every = list(questions_of(split, seed))
    if n is not None and n > len(every):
        raise ValueError(f"{n} {split} questions asked for; there are {len(every)}.")
    return [{"messages": [{"role": "user", "content": q.text}], "answer": str(q.answer)} for q in every[:n]]
