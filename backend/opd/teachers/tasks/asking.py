"""Questions with structured answers: asked, read, asked once more where unreadable, else set aside with the reason.

In: questions and a reader of replies. Out: for each question the value that was read, or a `SetAside`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from opd.teachers.base import Answer, Message
from opd.teachers.chat.asks import Ask
from opd.teachers.tasks.replies import UnreadableError

Value = TypeVar("Value")
Progress = Callable[[int, int | None], None]


class AsksChat(Protocol):
    """Whoever can put questions to a chat teacher; see `opd.teachers.chat.ChatApi.ask`."""

    def ask(self, asks: Sequence[Ask], *, stage: str, progress: Progress | None = None) -> list[Answer]: ...


@dataclass(frozen=True)
class SetAside:
    """A reply that must not be trained on: why, and its text for people to read."""

    reason: str
    text: str


@dataclass(frozen=True)
class Reading(Generic[Value]):
    """What came of one question."""

    value: Value | None
    problem: SetAside | None = None


def ask_and_read(
    chat: AsksChat,
    asks: Sequence[Ask],
    read: Callable[[int, str], Value],
    *,
    stage: str,
    ask_again: bool = True,
    progress: Progress | None = None,
) -> list[Reading[Value]]:
    """Put the questions and read the replies, in order.

    Args:
        read: from a question's index and its reply to the value; raises `UnreadableError` where it is not one.
        ask_again: put a question whose reply cannot be used once more, with what was wrong. Without: for a teacher
            that would say the same again, or where another question is as good.
    """
    readings = [
        _read(read, index, answer) for index, answer in enumerate(chat.ask(asks, stage=stage, progress=progress))
    ]
    failed = [(index, r.problem) for index, r in enumerate(readings) if r.problem is not None] if ask_again else []
    if failed:
        again = [_once_more(asks[index], problem) for index, problem in failed]
        for (index, _), answer in zip(failed, chat.ask(again, stage=stage), strict=True):
            readings[index] = _read(read, index, answer)
    return readings


def _read(read: Callable[[int, str], Value], index: int, answer: Answer) -> Reading[Value]:
    if answer.problem is not None:
        return Reading(None, SetAside(answer.reason or answer.problem, answer.text))
    try:
        return Reading(read(index, answer.text))
    except UnreadableError as error:
        return Reading(None, SetAside(str(error), answer.text))


def _once_more(ask: Ask, problem: SetAside) -> Ask:
    """The same question with what was wrong about the first reply; the reply itself is not shown again."""
    note = f"\n\n(An earlier reply to this could not be used: {problem.reason}. Follow the form exactly.)"
    *before, last = ask.messages
    said: Message = {**last, "content": f"{last['content']}{note}"}
    return replace(ask, messages=(*before, said))
