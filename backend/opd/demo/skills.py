"""The bundled teacher's two chat skills beside answering: writing another question, marking a draft line by line.

In: questions and drafts as text. Out: the message to send, and what a reply means. The forms are as short as a model of
a million weights needs them. Knows nothing of models or HTTP.

Writing. The message is WRITE_HEADER and one to MAX_EXAMPLES questions, a line each; the reply is one question.

Marking. The message is MARK_HEADER, the question and the draft, a line each; the reply has one line for every line of
the draft: KEEP where it is right *given the lines before it as the draft has them*, else the right line; DROP for a
line after the answer. Lines that the draft lacks follow at the end.

    Mark each line:                 ok
    Cloud 34, Ads 57. Total?   ->   4+5=9
    4+7=11                          =91
    3+5=8
    =91
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from opd.demo.task import NUM_LINES, Question, next_lines, parse_question

WRITE_HEADER = "Write another question like these:"
MARK_HEADER = "Mark each line:"
MAX_EXAMPLES = 4
KEEP, DROP = "ok", "drop"


@dataclass(frozen=True)
class Mark:
    """What the marker says about one line of a draft.

    Attributes:
        line: the text that should stand there, given the lines before it as written; empty for `drop`.
        verdict: keep the draft's line, put `line` in its place, drop it, or add `line` after the draft's end.
    """

    line: str
    verdict: Literal["keep", "replace", "drop", "add"]


def write_prompt(examples: Sequence[str]) -> str:
    """The message that asks for another question like these.

    Raises:
        ValueError: no example, or more than MAX_EXAMPLES.
    """
    if not 1 <= len(examples) <= MAX_EXAMPLES:
        raise ValueError(f"{len(examples)} example questions; the bundled teacher takes 1 to {MAX_EXAMPLES}.")
    return "\n".join([WRITE_HEADER, *examples])


def parse_written(reply: str) -> Question | None:
    """The question that was written; None where the reply is not exactly one question of the task."""
    return parse_question(reply)


def mark_prompt(question: str, draft: str) -> str:
    """The message that asks to mark this draft line by line."""
    return "\n".join([MARK_HEADER, question, *draft_lines(draft)])


def draft_lines(draft: str) -> list[str]:
    """The lines that are marked: of the draft without white space at its ends."""
    return draft.strip().split("\n")


def mark(question: Question, draft: str) -> list[Mark]:
    """The marks that the question and the draft deserve: what the teacher is trained to reply and measured against."""
    lines, marks = draft_lines(draft), list[Mark]()
    for index, line in enumerate(lines):
        right = next_lines(question, lines[:index])
        if not right:
            marks.append(Mark("", "drop"))
        elif line in right:
            marks.append(Mark(line, "keep"))
        else:
            marks.append(Mark(_nearest(line, right), "replace"))
    while len(lines) < NUM_LINES:
        lines.append(next_lines(question, lines)[0])
        marks.append(Mark(lines[-1], "add"))
    return marks


def render_marks(marks: Sequence[Mark]) -> str:
    """The reply that says this."""
    words = {"keep": KEEP, "drop": DROP}
    return "\n".join(words.get(mark.verdict, mark.line) for mark in marks)


def parse_marks(draft: str, reply: str) -> list[Mark] | None:
    """What a reply says about a draft; None where it does not have a line for each of the draft's lines."""
    lines, said = draft_lines(draft), reply.strip().split("\n")
    if len(said) < len(lines):
        return None
    marks = list[Mark]()
    for index, word in enumerate(said):
        if index >= len(lines):
            if word in (KEEP, DROP):
                return None
            marks.append(Mark(word, "add"))
        elif word == KEEP:
            marks.append(Mark(lines[index], "keep"))
        else:
            marks.append(Mark("", "drop") if word == DROP else Mark(word, "replace"))
    return marks


def _nearest(line: str, right: Sequence[str]) -> str:
    """Of the right lines, the one with most characters where the draft has them: the smallest correction."""
    return max(right, key=lambda other: sum(a == b for a, b in zip(line, other, strict=False)))
