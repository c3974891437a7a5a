"""A draft of the student, its parts, and what a teacher says about each: keep it, or the part that should stand there.

In: a draft and a reply. Out: `Mark`s, one a part, and from them `Action`s: at which point of the draft, exactly as the
student wrote it up to there, which text is the expert's. That is what a student can be trained on at its own states.
Source: DAgger (Ross et al. 2011, arXiv 1011.0686), with a whole line or sentence as the action.

A part is a line; a line that is long is divided into its sentences. Two forms of reply are read: one JSON object
(`read_json_marks`), and, for models too small for JSON, one line of reply for each line of the draft (`parse_marks`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from opd.teachers.tasks.replies import Reply, UnreadableError, read_json

KEEP, DROP = "ok", "drop"
_LONG_LINE = 120
_SENTENCE = re.compile(r".+?(?:[.!?…]+[\"'”’)\]]*(?=\s)|$)\s*", re.DOTALL)

Verdict = Literal["keep", "replace", "drop", "add"]


@dataclass(frozen=True)
class Mark:
    """What the marker says about one part of a draft.

    Attributes:
        line: the text that should stand there, given the parts before it as written; empty for `drop`.
        verdict: keep the draft's part, put `line` in its place, drop it, or add `line` after the draft's end.
    """

    line: str
    verdict: Verdict


@dataclass(frozen=True)
class Part:
    """A part of a draft: characters `start` to `stop`, without the white space after it, which reaches to `next`."""

    start: int
    stop: int
    next: int


@dataclass(frozen=True)
class Action:
    """What an expert writes after `draft[:at]`, as the student wrote it. `kept`: the student wrote just that.

    `ends`: the answer is complete after it.
    """

    at: int
    text: str
    kept: bool
    ends: bool


def parts_of(draft: str, *, by_line: bool = False) -> list[Part]:
    """The parts of a draft, in order, without the white space at its ends.

    Args:
        by_line: lines only, however long; else long lines are divided into sentences.
    """
    first, end = len(draft) - len(draft.lstrip()), max(len(draft.rstrip()), len(draft) - len(draft.lstrip()))
    spans, position = list[tuple[int, int]](), first
    for line in draft[first:end].split("\n"):
        whole = by_line or len(line) <= _LONG_LINE
        pieces = [(0, line)] if whole else [(found.start(), found[0].rstrip()) for found in _SENTENCE.finditer(line)]
        spans += [(position + at, position + at + len(piece)) for at, piece in pieces if by_line or piece.strip()]
        position += len(line) + 1
    nexts = [*(start for start, _ in spans), end][1:] if spans else []
    return [Part(start, stop, follows) for (start, stop), follows in zip(spans, nexts, strict=True)]


# --- replies --------------------------------------------------------------------------------------


class _JsonMark(Reply):
    part: int
    verdict: Literal["keep", "replace", "drop"]
    text: str | None = None


class _JsonMarks(Reply):
    marks: list[_JsonMark]
    add: list[str] = Field(default_factory=list)


def numbered(draft: str) -> str:
    """The draft's parts as the instruction shows them: `[1] …`, one a line."""
    return "\n".join(f"[{n}] {draft[p.start : p.stop]}" for n, p in enumerate(parts_of(draft), 1))


def read_json_marks(draft: str, reply: str) -> list[Mark]:
    """The marks that a JSON reply gives.

    Raises:
        UnreadableError: it is not one mark for every part, in order, with a text where one is needed.
    """
    said, parts = read_json(reply, _JsonMarks), parts_of(draft)
    if [mark.part for mark in said.marks] != list(range(1, len(parts) + 1)):
        raise UnreadableError(f"marks for parts {[m.part for m in said.marks][:20]}, the draft has {len(parts)}")
    marks = list[Mark]()
    for part, mark in zip(parts, said.marks, strict=True):
        if (mark.verdict == "replace") != bool((mark.text or "").strip()):
            raise UnreadableError(f"part {mark.part} is to be {mark.verdict}d, but its text is {mark.text and 'given'}")
        if mark.verdict == "replace":
            marks.append(Mark((mark.text or "").strip(), "replace"))
        else:
            marks.append(Mark(draft[part.start : part.stop] if mark.verdict == "keep" else "", mark.verdict))
    return marks + [Mark(line.strip(), "add") for line in said.add if line.strip()]


def draft_lines(draft: str) -> list[str]:
    """The lines that are marked in the short form: of the draft without white space at its ends."""
    return draft.strip().split("\n")


def parse_marks(draft: str, reply: str) -> list[Mark] | None:
    """What a reply in the short form says: for each line the right one, or KEEP, or DROP; then what is missing.

    None where it does not have a line for each of the draft's lines.
    """
    lines, said = draft_lines(draft), reply.strip().split("\n")
    if len(said) < len(lines):
        return None
    marks = list[Mark]()
    for index, word in enumerate(said):
        if index >= len(lines):
            if word in (KEEP, DROP):
                return None
            marks.append(Mark(word, "add"))
        elif word in (KEEP, lines[index]):
            marks.append(Mark(lines[index], "keep"))
        else:
            marks.append(Mark("", "drop") if word == DROP else Mark(word, "replace"))
    return marks


def render_marks(marks: Sequence[Mark]) -> str:
    """The reply in the short form that says this. A line that is kept is repeated: to write what is right and see that
    it is there already is easier than to know it beforehand."""
    return "\n".join(DROP if mark.verdict == "drop" else mark.line for mark in marks)


# --- what can be learned --------------------------------------------------------------------------


def actions_of(draft: str, parts: Sequence[Part], marks: Sequence[Mark], *, complete: bool) -> list[Action]:
    """The expert's text at each point of the draft where it is known.

    Args:
        complete: the draft ended by itself. One that was cut off may be right as far as it goes: nothing is learned
            about where it should end.
    """
    verdicts, added = list(marks[: len(parts)]), [mark.line for mark in marks[len(parts) :]]
    gap = _usual_gap(draft, parts)
    actions = list[Action]()
    for index, (part, mark) in enumerate(zip(parts, verdicts, strict=True)):
        later = [m for m in verdicts[index + 1 :] if m.verdict != "drop"]
        goes_on = bool(later or added)
        if mark.verdict == "drop":
            if not goes_on:
                if index and verdicts[index - 1].verdict != "drop":
                    break  # the part before says already that the answer ends there
                actions.append(Action(part.start, "", kept=False, ends=True))
                break
            follow = later[0].line if later else added[0]
            actions.append(Action(part.start, follow, kept=False, ends=False))
            continue
        last = index == len(parts) - 1
        between = draft[part.stop : part.next] if not last else gap
        text, kept = mark.line, mark.verdict == "keep"
        if goes_on and not (last and kept):
            actions.append(Action(part.start, text + between, kept=kept and not last, ends=False))
        else:
            actions.append(Action(part.start, text, kept=kept, ends=not goes_on and (complete or not last)))
    if added:
        at = parts[-1].stop if parts else len(draft)
        actions.append(Action(at, (gap if parts else "") + gap.join(added), kept=False, ends=True))
    return actions


def _usual_gap(draft: str, parts: Sequence[Part]) -> str:
    """What stands between parts of this draft: of its first two, else a line break."""
    return draft[parts[0].stop : parts[0].next] if len(parts) > 1 else "\n"
