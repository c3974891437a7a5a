"""A guide to the domain and criteria for a question, written once by the teacher: what guided self-teaching follows.

In: example questions, and replies. Out: what to ask, and the conversation as the guided copy of the student sees it.
No rule and no criterion may hold an answer: they are cut out where they say more than a rule can.
"""

from __future__ import annotations

from collections.abc import Sequence

from opd.teachers.base import Message
from opd.teachers.tasks.instructions import Instruction, instruction
from opd.teachers.tasks.replies import Reply, UnreadableError, read_json

MAX_RULES, MAX_CRITERIA = 30, 8
_MAX_CHARS = 400


class _Rules(Reply):
    rules: list[str]


class _Criteria(Reply):
    criteria: list[str]


def guide_message(examples: Sequence[str]) -> tuple[Instruction, str]:
    """The instruction and the message that ask for a guide."""
    form = instruction("guide")
    return form, form.fill(examples="\n".join(f"<example>\n{text}\n</example>" for text in examples))


def criteria_message(question: str) -> tuple[Instruction, str]:
    """The instruction and the message that ask for the criteria of one question."""
    form = instruction("criteria")
    return form, form.fill(question=question)


def read_guide(reply: str) -> list[str]:
    """The rules of a reply.

    Raises:
        UnreadableError: it is no list of short rules.
    """
    return _short(read_json(reply, _Rules).rules, MAX_RULES)


def read_criteria(reply: str) -> list[str]:
    """The criteria of a reply.

    Raises:
        UnreadableError: it is no list of short criteria.
    """
    return _short(read_json(reply, _Criteria).criteria, MAX_CRITERIA)


def guided(messages: Sequence[Message], rules: Sequence[str], criteria: Sequence[str]) -> list[Message]:
    """The conversation with the guide in its system message."""
    text = "Answer as an expert who follows these rules:\n" + "\n".join(f"- {rule}" for rule in rules)
    if criteria:
        text += "\n\nA good answer to this question:\n" + "\n".join(f"- {one}" for one in criteria)
    own = [str(m["content"]) for m in messages if m["role"] == "system"]
    rest = [m for m in messages if m["role"] != "system"]
    return [{"role": "system", "content": "\n\n".join([*own, text])}, *rest]


def _short(texts: Sequence[str], most: int) -> list[str]:
    kept = [text.strip() for text in texts if text.strip()]
    if not kept or len(kept) > most or any(len(text) > _MAX_CHARS for text in kept):
        raise UnreadableError(f"{len(kept)} entries; expected 1 to {most}, none longer than {_MAX_CHARS} characters")
    return kept
