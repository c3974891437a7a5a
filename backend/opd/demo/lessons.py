"""What the demo's models are shown while they are made.

In: a random generator. Out: lessons, a message and the reply to learn, piece by piece, where some pieces are read but
not learned. Knows nothing of tokens or models.

A teacher that has only ever seen right workings does not know what to say after a wrong one, and that is where a
student needs it. So some answer lessons stumble: a digit is replaced by a wrong one, which is not learned, and the
rest goes on as well as it can from there.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from opd.demo.skills import MAX_EXAMPLES, mark, mark_prompt, write_prompt
from opd.demo.task import DIFFERENCE_SHARE, Line, Question, draw_question, next_lines, read_line
from opd.teachers.tasks.marks import render_marks

STUMBLING_SHARE = 0.25
_EVEN = 0.5  # as many differences as sums, where knowing both matters more than how often they come
_REAL_DRAFTS = 0.5
_WRONG_OPERAND, _WRONG_RESULT = 0.15, 0.1  # chance in a line of a stumbling answer


class Piece(NamedTuple):
    """A part of a reply. Pieces meet where the tokenizer cuts anyway: beside a digit or a line end."""

    text: str
    learned: bool = True


@dataclass(frozen=True)
class Lesson:
    """One message of a user and the reply to it."""

    message: str
    reply: tuple[Piece, ...]


def answer_lesson(
    rng: random.Random, *, stumbling_share: float = 0.0, difference_share: float = DIFFERENCE_SHARE
) -> Lesson:
    """A training question and a right worked answer, or one that stumbles and goes on."""
    question = draw_question("train", rng, difference_share)
    stumbles = rng.random() < stumbling_share
    pieces, written = list[Piece](), list[str]()
    while choices := next_lines(question, written):
        line = rng.choice(choices)
        parts = _stumble(line, rng) if stumbles else [Piece(line)]
        pieces += [*([Piece("\n")] if written else []), *parts]
        written.append("".join(part.text for part in parts))
    return Lesson(question.text, tuple(pieces))


def writing_lesson(rng: random.Random) -> Lesson:
    """A few training questions and another one."""
    examples = [draw_question("train", rng).text for _ in range(rng.randint(1, MAX_EXAMPLES))]
    return Lesson(write_prompt(examples), (Piece(draw_question("train", rng).text),))


def marking_lesson(rng: random.Random, drafts: Sequence[tuple[Question, str]] = ()) -> Lesson:
    """A training question, a draft with or without mistakes, and the marks it deserves.

    Args:
        drafts: real ones to choose from in half of the lessons; the others are spoiled on purpose.
    """
    if drafts and rng.random() < _REAL_DRAFTS:
        question, draft = rng.choice(drafts)
    else:
        question = draw_question("train", rng, _EVEN)
        draft = bad_draft(question, rng)
    return Lesson(mark_prompt(question.text, draft), (Piece(render_marks(mark(question, draft))),))


def bad_draft(question: Question, rng: random.Random) -> str:
    """An answer as a weak student might write it: half of its lines have a mistake, some are missing or too many."""
    lines = list[str]()
    while choices := next_lines(question, lines):
        line = rng.choice(choices)
        parts = read_line(line)
        if parts and rng.random() < 0.5:
            line = _spoil(parts, rng)
        elif parts is None and rng.random() < 0.2:
            line = f"={rng.randint(0, 198)}"
        lines.append(line)
    if rng.random() < 0.05:
        lines.append(f"={rng.randint(0, 198)}")
    elif rng.random() < 0.05:
        lines = lines[: rng.randint(1, len(lines) - 1)]
    return "\n".join(lines)


def _spoil(line: Line, rng: random.Random) -> str:
    """The line with another result, another digit, or both, consistent or not."""
    spoiled = line
    if rng.random() < 0.6:
        near = line.result + rng.choice((-2, -1, -1, 1, 1, 2))
        spoiled = spoiled._replace(result=near if 0 <= near <= 19 else rng.randint(0, 19))
    if spoiled == line or rng.random() < 0.3:
        digit = rng.randint(0, 9)
        spoiled = spoiled._replace(first=digit) if rng.random() < 0.5 else spoiled._replace(second=digit)
        if rng.random() < 0.5:
            spoiled = spoiled.worked_out()
    return str(spoiled)


def _stumble(text: str, rng: random.Random) -> list[Piece]:
    line = read_line(text)
    if line is None:
        return [Piece(text)]
    wrong_operand, wrong_result = rng.random() < _WRONG_OPERAND, rng.random() < _WRONG_RESULT
    right_first, right_second = True, True
    if wrong_operand:
        digit = rng.randint(0, 9)
        changed = line._replace(first=digit) if rng.random() < 0.5 else line._replace(second=digit)
        if changed.operation == "+" or changed.first >= changed.second:
            right_first, right_second = changed.first == line.first, changed.second == line.second
            line = changed.worked_out()
    result = line.result
    if wrong_result:
        result = rng.randint(0, 19)
    return [
        Piece(str(line.first), right_first),
        Piece(line.operation),
        Piece(str(line.second), right_second),
        *([] if line.carry is None else [Piece(f"+{line.carry}")]),
        Piece("="),
        Piece(str(result), result == line.result),
    ]


def mixed_lesson(rng: random.Random, shares: Sequence[float], drafts: Sequence[tuple[Question, str]] = ()) -> Lesson:
    """One of the three kinds: answering, writing, marking, with these shares; `drafts` as in `marking_lesson`."""
    kind = rng.choices(("answer", "write", "mark"), weights=shares)[0]
    if kind == "write":
        return writing_lesson(rng)
    return marking_lesson(rng, drafts) if kind == "mark" else teacher_lesson(rng)


def teacher_lesson(rng: random.Random) -> Lesson:
    """An answer as the teacher learns it: some stumble."""
    return answer_lesson(rng, stumbling_share=STUMBLING_SHARE)
