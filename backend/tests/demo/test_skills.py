"""The teacher's chat skills: what is asked, what a right reply is, and how replies are read."""

import random

import pytest

from opd.demo.lessons import answer_lesson, bad_draft, marking_lesson, writing_lesson
from opd.demo.skills import mark, mark_prompt, parse_written, write_prompt
from opd.demo.task import (
    Question,
    draw_question,
    final_answer,
    is_correct,
    next_lines,
    parse_question,
    read_line,
    solve,
    split_of,
)
from opd.teachers.tasks.marks import Mark, parse_marks, render_marks


def question(text: str) -> Question:
    found = parse_question(text)
    assert found is not None
    return found


CLOUD = question("Cloud 34, Ads 57. Total?")


@pytest.mark.parametrize(
    ("draft", "reply"),
    [
        ("4+7+0=11\n3+5+1=9\n=91", "4+7+0=11\n3+5+1=9\n=91"),
        ("7+4+0=11\n5+3+1=9\n=91", "7+4+0=11\n5+3+1=9\n=91"),
        ("4+7+0=12\n3+5+1=9\n=92", "4+7+0=11\n3+5+1=9\n=92"),  # the answer fits the lines before it
        ("4+7+0=9\n3+5+1=9\n=91", "4+7+0=11\n3+5+0=8\n=99"),  # no carry was written, so line two is wrong as well
        ("4+7+0=11\n5+3+1=8\n=91", "4+7+0=11\n5+3+1=9\n=81"),  # the correction keeps the draft's order
        ("4+7+0=11", "4+7+0=11\n3+5+1=9\n=91"),
        ("4+7+0=11\n3+5+1=9\n=91\n=91", "4+7+0=11\n3+5+1=9\n=91\ndrop"),
        ("", "4+7+0=11\n3+5+1=9\n=91"),
    ],
)
def test_marks_each_line_given_the_lines_before_it(draft: str, reply: str) -> None:
    assert render_marks(mark(CLOUD, draft)) == reply


def test_a_reply_is_read_as_the_marks_it_was_made_of() -> None:
    rng = random.Random(0)
    for _ in range(500):
        asked = draw_question("train", rng)
        draft = bad_draft(asked, rng)
        marks = mark(asked, draft)
        assert parse_marks(draft, render_marks(marks)) == marks


def test_a_draft_mended_line_by_line_from_its_start_is_a_right_answer() -> None:
    rng = random.Random(1)
    for _ in range(200):
        asked = draw_question("train", rng)
        mended = [line for line in bad_draft(asked, rng).split("\n") if line]
        for index in range(len(mended)):
            mended[index] = mark(asked, "\n".join(mended))[index].line
        mended += [found.line for found in mark(asked, "\n".join(mended)) if found.verdict == "add"]
        assert is_correct(asked, "\n".join(line for line in mended if line))


@pytest.mark.parametrize("reply", ["ok\nok", "ok\nok\nok\nok", "ok\nok\nok\ndrop", ""])
def test_a_reply_of_another_length_is_no_marking(reply: str) -> None:
    assert parse_marks("4+7+0=11\n3+5+1=9\n=91", reply) is None


def test_marks_say_what_stands_there_and_why() -> None:
    assert parse_marks("4+7+0=12\n3+5+1=9\n=1\n=1", "4+7+0=11\nok\n=92\ndrop") == [
        Mark("4+7+0=11", "replace"),
        Mark("3+5+1=9", "keep"),
        Mark("=92", "replace"),
        Mark("", "drop"),
    ]


def test_prompts_carry_the_questions_and_the_draft() -> None:
    assert write_prompt([CLOUD.text]).split("\n")[1:] == [CLOUD.text]
    assert mark_prompt(CLOUD.text, "4+7+0=11\n=91\n").split("\n")[1:] == [CLOUD.text, "4+7+0=11", "=91"]
    for wrong in ([], [CLOUD.text] * 5):
        with pytest.raises(ValueError, match="1 to 4"):
            write_prompt(wrong)


def test_only_a_question_of_the_task_counts_as_written() -> None:
    assert parse_written(CLOUD.text + "\n") == CLOUD
    assert parse_written("Here is one: " + CLOUD.text) is None


def test_lessons_are_made_of_training_questions_only() -> None:
    rng = random.Random(2)
    for _ in range(300):
        texts = [answer_lesson(rng, stumbling_share=0.5).message]
        writing, marking = writing_lesson(rng), marking_lesson(rng)
        texts += [
            *writing.message.split("\n")[1:],
            *(piece.text for piece in writing.reply),
            marking.message.split("\n")[1],
        ]
        for text in texts:
            asked = question(text)
            assert split_of(asked.operation, asked.left, asked.right) == "train"


def test_an_answer_lesson_learns_right_lines_and_a_stumbling_one_only_what_follows_from_its_digits() -> None:
    rng = random.Random(3)
    for _ in range(300):
        lesson = answer_lesson(rng)
        assert all(piece.learned for piece in lesson.reply)
        assert is_correct(question(lesson.message), "".join(piece.text for piece in lesson.reply))
    unlearned = 0
    for _ in range(500):
        lesson = answer_lesson(rng, stumbling_share=1.0)
        asked, lines = question(lesson.message), "".join(piece.text for piece in lesson.reply).split("\n")
        wrong = [piece for piece in lesson.reply if not piece.learned]
        unlearned += len(wrong)
        assert lines[2] in next_lines(asked, lines[:2])
        for line in (found for found in map(read_line, lines[:2]) if found is not None):
            assert line == line.worked_out() or any(piece.text == str(line.result) for piece in wrong)
        if not wrong:
            assert final_answer("\n".join(lines)) == asked.answer
            assert set(solve(asked).split("\n")[2:]) == {lines[2]}
    assert unlearned > 100
