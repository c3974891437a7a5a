"""The demo's task: right answers, several workings, disjoint splits, files that match the recipe."""

import random
from itertools import islice

import pytest

from opd.data_loader import check_file, load_prompts
from opd.demo.bundled import DATA_FILES, data_path
from opd.demo.recipe import write_data
from opd.demo.task import (
    DIFFERENCE_SHARE,
    HIGHEST,
    LOWEST,
    NUM_TRAIN_PROMPTS,
    PHRASINGS,
    Operation,
    Question,
    Split,
    ask,
    draw_question,
    final_answer,
    held_out_prompts,
    is_correct,
    next_lines,
    parse_question,
    questions_of,
    solve,
    split_of,
    train_prompts,
    validation_prompts,
)

SPLITS: tuple[Split, ...] = ("train", "validation", "held_out")


def every_pair() -> list[tuple[Operation, int, int]]:
    amounts = range(LOWEST, HIGHEST + 1)
    sums: list[tuple[Operation, int, int]] = [("+", left, right) for left in amounts for right in amounts]
    return sums + [
        ("-", left, right) for left in amounts for right in amounts if left > right and left % 10 >= right % 10
    ]


def question(text: str) -> Question:
    found = parse_question(text)
    assert found is not None, text
    return found


@pytest.mark.parametrize(
    ("text", "working"),
    [
        ("Cloud 34, Ads 57. Total?", "4+7+0=11\n3+5+1=9\n=91"),
        ("Cash 12, receipts 34. Cash now?", "2+4+0=6\n1+3+0=4\n=46"),
        ("Debt 95, new loan 99. Debt now?", "5+9+0=14\n9+9+1=19\n=194"),
        ("Cash 97, paid 34. Left?", "7-4=3\n9-3=6\n=63"),
        ("Sales 54, costs 51. Profit?", "4-1=3\n5-5=0\n=3"),
        ("Assets 20, debt 10. Equity?", "0-0=0\n2-1=1\n=10"),
    ],
)
def test_works_digit_by_digit_with_the_answer_last(text: str, working: str) -> None:
    assert solve(question(text)) == working


def test_every_working_of_every_pair_ends_in_the_right_number_and_states_only_true_facts() -> None:
    rng = random.Random(1)
    for operation, left, right in every_pair():
        asked = ask(operation, left, right, rng)
        for working in (solve(asked), solve(asked, rng)):
            assert final_answer(working) == (left + right if operation == "+" else left - right)
            assert is_correct(asked, working)
            for line in working.split("\n")[:2]:
                fact, _, result = line.partition("=")
                parts = [int(part) for part in fact.split(operation)]
                assert int(result) == (sum(parts) if operation == "+" else parts[0] - parts[1])
                assert len(parts) == (3 if operation == "+" else 2)
                assert max(parts) < 10
                assert 0 <= int(result) < 20


def test_a_sum_has_its_digits_in_either_order() -> None:
    asked = question("Cloud 34, Ads 57. Total?")
    rng = random.Random(0)
    assert {solve(asked, rng) for _ in range(100)} == {
        f"{units}\n{tens}\n=91" for units in ("4+7+0=11", "7+4+0=11") for tens in ("3+5+1=9", "5+3+1=9")
    }


def test_goes_on_from_what_was_written_mistakes_included() -> None:
    asked = question("Cloud 34, Ads 57. Total?")
    assert next_lines(asked, []) == ("4+7+0=11", "7+4+0=11")
    assert next_lines(asked, ["4+7+0=9"]) == ("3+5+0=8", "5+3+0=8")  # no carry is shown, so none is taken
    assert next_lines(asked, ["4+7+0=12", "3+5+1=8"]) == ("=82",)
    assert next_lines(asked, ["about eleven", "3+5+1=9"]) == ("=91",)  # cannot be read: as if it were right
    assert next_lines(asked, ["4+7=11", "3+5+1=9"]) == ("=91",)  # a sum without its carry cannot be read either
    assert next_lines(asked, ["4+7+0=11", "3+5+1=9", "=91"]) == ()
    left_over = question("Cash 97, paid 34. Left?")
    assert next_lines(left_over, ["7-4=2"]) == ("9-3=6",)
    assert next_lines(left_over, ["7-4=2", "9-3=6"]) == ("=62",)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("4+7+0=11\n3+5+1=9\n=91", 91),
        ("=7 ", 7),
        ("91", None),
        ("=91m", None),
        ("=91\n4+7=11", None),
        ("=1234", None),
        ("", None),
    ],
)
def test_reads_the_answer_from_the_last_line_only(text: str, number: int | None) -> None:
    assert final_answer(text) == number


def test_a_wrong_number_is_wrong() -> None:
    assert not is_correct(question("Cloud 34, Ads 57. Total?"), "4+7+0=11\n3+5+1=9\n=92")


def test_questions_are_read_back_as_they_were_made() -> None:
    for split in SPLITS:
        for asked in questions_of(split):
            assert parse_question(asked.text) == asked


def test_every_phrasing_comes_up() -> None:
    words = {text.split(" ")[-1] for texts in PHRASINGS.values() for text in texts}
    assert {asked.text.split(" ")[-1] for asked in islice(questions_of("train"), 200)} == words


@pytest.mark.parametrize(
    "text",
    [
        "Cloud 34, Cloud 57. Total?",
        "Cash 34, paid 91. Left?",
        "Cash 34, paid 34. Left?",
        "Cash 91, paid 34. Left?",
        "Cash 5, receipts 34. Cash now?",
        "Cash 134, receipts 34. Cash now?",
        "Cash ٣٤, receipts 34. Cash now?",
        "Tea 34, Ads 57. Total?",
        "Cloud 34, Ads 57. Total? Cloud 34, Ads 57. Total?",
        "",
    ],
)
def test_other_text_is_no_question(text: str) -> None:
    assert parse_question(text) is None


def test_splits_are_disjoint_whatever_the_order_and_the_words() -> None:
    seen: dict[tuple[str, frozenset[int]], set[str]] = {}
    for operation, left, right in every_pair():
        seen.setdefault((operation, frozenset((left, right))), set()).add(split_of(operation, left, right))
    assert all(len(splits) == 1 for splits in seen.values())
    drawn = {
        split: {(asked.operation, frozenset((asked.left, asked.right))) for asked in questions_of(split)}
        for split in SPLITS
    }
    rng = random.Random(3)
    for split in SPLITS:  # what models are trained on comes from the same split as the files
        lessons = [draw_question(split, rng) for _ in range(2000)]
        drawn[split] |= {(asked.operation, frozenset((asked.left, asked.right))) for asked in lessons}
    assert not drawn["train"] & drawn["held_out"]
    assert not drawn["train"] & drawn["validation"]
    assert not drawn["validation"] & drawn["held_out"]


def test_questions_of_a_split_differ_and_keep_the_share_of_differences() -> None:
    for split in SPLITS:
        asked = list(questions_of(split))
        assert len({(q.operation, frozenset((q.left, q.right))) for q in asked}) == len(asked)
        differences = sum(q.operation == "-" for q in asked) / len(asked)
        assert abs(differences - DIFFERENCE_SHARE) < 0.06


def test_prompts_are_conversations_with_the_expected_number() -> None:
    for row in (*train_prompts(), *validation_prompts(), *held_out_prompts(400)):
        (message,) = row["messages"]
        assert message["role"] == "user"
        assert str(question(message["content"]).answer) == row["answer"]
    assert len(train_prompts()) == NUM_TRAIN_PROMPTS
    assert train_prompts(seed=1) != train_prompts()
    with pytest.raises(ValueError, match="held_out questions asked for"):
        held_out_prompts(100_000)


def test_the_bundled_files_are_what_the_recipe_writes(tmp_path) -> None:
    write_data(tmp_path)
    for name in DATA_FILES:
        assert data_path(name).read_bytes() == (tmp_path / f"{name}.jsonl").read_bytes()
    with pytest.raises(ValueError, match="train, validation, held_out"):
        data_path("test")


@pytest.mark.parametrize("name", DATA_FILES)
def test_the_bundled_files_are_clean_data(name: str) -> None:
    report = check_file(data_path(name))
    assert report.ok
    prompts = load_prompts(data_path(name))
    assert len(prompts) >= {"train": 119, "validation": 100, "held_out": 400}[name]
