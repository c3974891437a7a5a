"""Written prompts: what is asked, what is read, and what may not be trained on."""

from __future__ import annotations

import json

import pytest

from opd.teachers.tasks.instructions import instruction
from opd.teachers.tasks.replies import UnreadableError
from opd.teachers.tasks.writing import Sieve, diversity, pick_examples, read_written, sift, write_message

OWN = ["Cloud 34, Ads 57. Total?", "What drives the gross margin of a foundry in a downturn, and what should I ask?"]
HELD_OUT = ["Debt 21, new loan 10. Debt now?", "Explain how a bank's net interest margin reacts to falling rates."]


def test_every_instruction_is_one_readable_file_with_its_version_in_the_name() -> None:
    for name in ("write", "write_lines", "mark", "mark_lines", "guide", "criteria"):
        form = instruction(name)
        assert form.label == f"{name}.v{form.version}"
        assert form.text == form.text.strip()
    with pytest.raises(KeyError, match="No instruction"):
        instruction("nothing")


def test_what_is_filled_in_is_not_an_instruction() -> None:
    form = instruction("mark_lines")
    assert form.fill(question="q", draft="{{question}}").endswith("q\n{{question}}")
    with pytest.raises(KeyError):
        form.fill(question="q")


def test_requests_show_other_examples_and_the_same_ones_again() -> None:
    texts = [f"question {n}" for n in range(30)]
    shown = [tuple(pick_examples(texts, request, 0)) for request in range(20)]
    assert len(set(shown)) == 20
    assert shown == [tuple(pick_examples(texts, request, 0)) for request in range(20)]
    form, message = write_message(shown[0], count=5, in_lines=False)
    assert form.label == "write.v1"
    assert all(text in message for text in shown[0])


def test_prompts_are_read_strictly() -> None:
    assert read_written(json.dumps({"prompts": [" a ", "b"]}), in_lines=False) == ["a", "b"]
    assert read_written(" a \n", in_lines=True) == ["a"]
    for bad in ('{"prompts": []}', '{"prompts": [""]}', '{"prompts": ["a"], "note": 1}', "a", '{"prompts": [1]}'):
        with pytest.raises(UnreadableError):
            read_written(bad, in_lines=False)
    with pytest.raises(UnreadableError):
        read_written("a\nb", in_lines=True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("cloud 34, ads 57.  TOTAL?", "copy"),
        ("What drives the gross margin of a foundry in a downturn, and what should we ask?", "near_copy"),
        ("Debt 21, new loan 10. Debt now?", "held_out"),
        ("Cash 10, receipts 21. Cash now?", "held_out"),  # other words, the same short sum
        ("Explain how a bank's net interest margin reacts to falling rates!", "held_out"),
        ("Cloud 34, Ads 58. Total?", None),
        ("What drives the free cash flow of a railway?", None),
    ],
)
def test_copies_near_copies_and_leaks_are_found(text: str, reason: str | None) -> None:
    assert Sieve(OWN, HELD_OUT).reason_against(text) == reason


def test_written_prompts_are_not_copies_of_one_another_and_no_more_than_wanted() -> None:
    found = sift(["a b c 1", "a b c 1", "a b c 2", "a b c 3", "a b c 4"], Sieve([], []), wanted=3)
    assert found.kept == ("a b c 1", "a b c 2", "a b c 3")
    assert found.removed == {"copy": ["a b c 1"], "surplus": ["a b c 4"]}


def test_diversity_counts_words_that_are_new_and_openings_that_repeat() -> None:
    found = diversity(["one two three four", "one two three five", "six"], ["one two"])
    assert (found.num, found.distinct_words, found.repeated_openings) == (3, 6, 0.667)
    assert found.new_words == round(4 / 6, 3)
