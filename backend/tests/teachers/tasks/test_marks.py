"""Parts of drafts, marks in both forms, and what follows from them for a student at its own states."""

from __future__ import annotations

import json

import pytest

from opd.teachers.tasks.marks import (
    Action,
    Mark,
    actions_of,
    numbered,
    parse_marks,
    parts_of,
    read_json_marks,
    render_marks,
)
from opd.teachers.tasks.replies import UnreadableError

PROSE = (
    "Revenue rose by 12 % to 4.1 billion, mostly from the cloud. Margins fell, which management blames on wages! "
    "Is that plausible? Partly.\n\nBuy."
)


def texts(draft: str, **options: bool) -> list[str]:
    return [draft[part.start : part.stop] for part in parts_of(draft, **options)]


def test_short_lines_are_parts_and_long_ones_are_divided_into_sentences() -> None:
    assert texts("a\nb\n\nc\n") == ["a", "b", "c"]
    assert texts("a\n\nc", by_line=True) == ["a", "", "c"]
    assert texts(PROSE) == [
        "Revenue rose by 12 % to 4.1 billion, mostly from the cloud.",
        "Margins fell, which management blames on wages!",
        "Is that plausible?",
        "Partly.",
        "Buy.",
    ]
    assert texts("  ") == []


@pytest.mark.parametrize("draft", ["a\nb\n\nc", PROSE, "one", "\n x\n y \n"])
def test_parts_and_what_stands_between_are_the_whole_draft(draft: str) -> None:
    parts = parts_of(draft)
    assert draft[parts[0].start :].rstrip() == "".join(draft[p.start : p.next] for p in parts)
    assert all(draft[p.stop : p.next].strip() == "" for p in parts)


def reply(*marks: tuple[int, str, str | None], add: tuple[str, ...] = ()) -> str:
    listed = [{"part": n, "verdict": v} | ({"text": t} if t is not None else {}) for n, v, t in marks]
    return json.dumps({"marks": listed, "add": list(add)})


def test_json_marks_are_read_for_every_part_in_order() -> None:
    said = reply((1, "keep", None), (2, "replace", " B "), (3, "drop", None), add=("d",))
    assert read_json_marks("a\nb\nc", f"```json\n{said}\n```") == [
        Mark("a", "keep"),
        Mark("B", "replace"),
        Mark("", "drop"),
        Mark("d", "add"),
    ]
    assert numbered("a\nb") == "[1] a\n[2] b"


@pytest.mark.parametrize(
    "said",
    [
        reply((1, "keep", None)),  # a part without a mark
        reply((2, "keep", None), (1, "keep", None)),  # another order
        reply((1, "keep", None), (2, "replace", None)),  # no text to put there
        reply((1, "keep", None), (2, "replace", "  ")),
        reply((1, "keep", None), (2, "delete", None)),  # no such verdict
        "Here you go: " + reply((1, "keep", None), (2, "keep", None)),
        '{"marks": [], "marks": []}',
        '{"marks": 1}',
        "",
    ],
)
def test_anything_else_is_unreadable(said: str) -> None:
    with pytest.raises(UnreadableError):
        read_json_marks("a\nb", said)


def test_a_line_that_is_repeated_is_kept() -> None:
    marks = parse_marks("a\nb\nc", "a\nB\ndrop\nd")
    assert marks == [Mark("a", "keep"), Mark("B", "replace"), Mark("", "drop"), Mark("d", "add")]
    assert parse_marks("a\nb", render_marks([Mark("a", "keep"), Mark("B", "replace")])) == [
        Mark("a", "keep"),
        Mark("B", "replace"),
    ]


def actions(draft: str, *marks: Mark, complete: bool = True) -> list[Action]:
    return actions_of(draft, parts_of(draft), marks, complete=complete)


def test_each_part_is_an_action_at_the_state_that_the_student_was_in() -> None:
    assert actions("a\nb\nc", Mark("a", "keep"), Mark("B", "replace"), Mark("c", "keep")) == [
        Action(0, "a\n", kept=True, ends=False),
        Action(2, "B\n", kept=False, ends=False),
        Action(4, "c", kept=True, ends=True),
    ]


def test_where_the_answer_was_complete_the_student_learns_to_end() -> None:
    assert actions("a\nb\nc", Mark("a", "keep"), Mark("", "drop"), Mark("", "drop")) == [
        Action(0, "a", kept=True, ends=True)
    ]
    assert actions("a\nb\nc", Mark("a", "keep"), Mark("", "drop"), Mark("c", "keep"))[1] == Action(
        2, "c", kept=False, ends=False
    )


def test_what_is_missing_is_added_behind_the_draft() -> None:
    assert actions("a\nb", Mark("a", "keep"), Mark("b", "keep"), Mark("c", "add"), Mark("d", "add")) == [
        Action(0, "a\n", kept=True, ends=False),
        Action(2, "b", kept=True, ends=False),
        Action(3, "\nc\nd", kept=False, ends=True),
    ]


def test_a_draft_that_was_cut_off_says_nothing_about_its_end() -> None:
    assert actions("a\nb", Mark("a", "keep"), Mark("b", "keep"), complete=False)[-1].ends is False
