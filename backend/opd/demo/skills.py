"""The bundled teacher's two chat skills beside answering: writing another question, marking a draft line by line.

In: questions and drafts as text. Out: the message to send, and the reply that is right. The forms are the short ones of
`opd.teachers.tasks`, as short as a model of a million weights needs them. Knows nothing of models or HTTP.

Writing. The message has one to MAX_EXAMPLES questions, a line each; the reply is one question.

Marking. The message has the question and the draft, a line each; the reply has one line for every line of the draft:
the line that is right *given the lines before it as the draft has them*, which repeats the draft's where that is right;
DROP for a line after the answer. Lines that the draft lacks follow at the end.

    Mark each line:                 4+7+0=11
    Cloud 34, Ads 57. Total?   ->   3+5+1=9
    4+7+0=11                        =81
    3+5+1=8
    =91
"""

from __future__ import annotations

from collections.abc import Sequence

from opd.demo.task import NUM_LINES, Question, next_lines, parse_question
from opd.teachers.tasks.instructions import instruction
from opd.teachers.tasks.marks import Mark, draft_lines

MAX_EXAMPLES = 4


def write_prompt(examples: Sequence[str]) -> str:
    """The message that asks for another question like these.

    Raises:
        ValueError: no example, or more than MAX_EXAMPLES.
    """
    if not 1 <= len(examples) <= MAX_EXAMPLES:
        raise ValueError(f"{len(examples)} example questions; the bundled teacher takes 1 to {MAX_EXAMPLES}.")
    return instruction("write_lines").fill(examples="\n".join(examples))


def parse_written(reply: str) -> Question | None:
    """The question that was written; None where the reply is not exactly one question of the task."""
    return parse_question(reply)


def mark_prompt(question: str, draft: str) -> str:
    """The message that asks to mark this draft line by line."""
    return instruction("mark_lines").fill(question=question, draft="\n".join(draft_lines(draft)))


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


def _nearest(line: str, right: Sequence[str]) -> str:
    """Of the right lines, the one with most characters where the draft has them: the smallest correction."""
    return max(right, key=lambda other: sum(a == b for a, b in zip(line, other, strict=False)))
