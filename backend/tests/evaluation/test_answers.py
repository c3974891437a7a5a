"""Answer checking: how numbers are written by people and models, and what counts as the same answer."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opd.config import DataConfig
from opd.errors import ConfigError
from opd.evaluation.answers import MatchKind, find_numbers, grade, match, parse_number

# Written as a model or an annual report would, with the value that a reader takes from it.
WRITTEN = [
    ("1,234,567.89", "1234567.89"),
    ("1.234.567,89", "1234567.89"),
    ("1.234.567", "1234567"),
    ("1\u202f234\u202f567,5", "1234567.5"),
    ("1 234 567", "1234567"),
    ("10'000", "10000"),
    ("12,5", "12.5"),
    ("12,500", "12500"),
    ("12.500", "12.5"),
    ("\u22125", "-5"),
    ("\u20135", "-5"),
    ("-$5", "-5"),
    ("$-5", "-5"),
    ("US$ 1.5bn", "1500000000"),
    ("€3 million", "3000000"),
    ("(1,234)", "-1234"),
    ("$(1.2) million", "-1200000"),
    ("45.7%", "45.7"),
    ("5 per cent", "5"),
    ("33.", "33"),
    ("+7", "7"),
    (".5", "0.5"),
    ("2e5", "200000"),
    ("1.5E-3", "0.0015"),
    ("２３", "23"),
    ("33k", "33000"),
]


@pytest.mark.parametrize(("text", "value"), WRITTEN)
def test_a_number_is_read_however_it_is_written(text: str, value: str) -> None:
    number = parse_number(text)
    assert number is not None
    assert number.value == Decimal(value)


@pytest.mark.parametrize("text", ["", "n/a", "Q3", "12-5", "3, 4", "45 - 12 = 33", "1.2.3", "33rd", "33 units"])
def test_what_is_not_one_number_is_not_read_as_one(text: str) -> None:
    assert parse_number(text) is None


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("45 - 12 = 33", ["45", "12", "33"]),
        ("45-12=33", ["45", "12", "33"]),
        ("45\u221212=33", ["45", "12", "33"]),
        ("= -33", ["-33"]),
        ("10\u201312 %", ["10", "12"]),
        ("1, 2, 3", ["1", "2", "3"]),
        ("1,2,3", ["1", "2", "3"]),
        ("in 2023 450 units", ["2023", "450"]),
        ("Q3 FY24: the 2nd was 7x", ["7"]),
        ("version 1.2.3", ["1.2"]),
        ("total\u201433", ["33"]),
        ("答案是33。", ["33"]),
        ("no number", []),
    ],
)
def test_numbers_in_running_text(text: str, values: list[str]) -> None:
    assert [number.value for number in find_numbers(text)] == [Decimal(value) for value in values]


@pytest.mark.parametrize(
    ("kind", "completion", "expected", "right"),
    [
        ("exact", "  yes \n", "yes", True),
        ("exact", "Yes", "yes", False),
        ("exact", "cafe\u0301", "caf\u00e9", True),
        ("exact", "yes, it is", "yes", False),
        ("last_number", "7+8=15, carry 1\n=33", "33", True),
        ("last_number", "33, not 34", "33", False),
        ("last_number", "= 33.", "33", True),
        ("last_number", "=33.0", "33", True),
        ("last_number", "=33.4", "33", False),
        ("last_number", "", "33", False),
        ("last_number", "I cannot say", "33", False),
        ("last_number", "$1,045 million", "1045", True),
        ("last_number", "$1.045 billion", "1045000000", True),
        ("numeric", "Revenue is 12.46, so about 12.5", "12.5", True),
        ("numeric", "12.54", "12.5", True),
        ("numeric", "12.56", "12.5", False),
        ("numeric", "12.4", "12", False),
        ("numeric", "-12.5", "12.5", False),
        ("numeric", "The margin is 12.5 %", "0.125", True),
        ("numeric", "0.125", "12.5%", True),
        ("numeric", "12.5", "12.5%", True),
        ("numeric", "12.5", "0.125", False),
        ("numeric", "1,234,567", "1.2 million", True),
        ("numeric", "$1.2 million", "1.2", True),
        ("numeric", "**Answer:** -33 (see note 2)", "-33", True),
        ("numeric", "First try. Answer: 5. Better: the answer is 33, of 40 asked", "33", True),
        ("numeric", r"so \boxed{33} by step 4", "33", True),
        ("numeric", "#### 33\n(checked 2 times)", "33", True),
        ("numeric", "The answer. It took 3 steps: 7", "7", True),
        ("numeric", "33", "about 33 units", True),
    ],
)
def test_matching(kind: MatchKind, completion: str, expected: str, right: bool) -> None:
    assert match(kind, completion, expected) is right


@pytest.mark.parametrize(
    ("completion", "expected", "right"),
    [
        ("Answer: 5\nAnswer: 33", "33", True),
        ("Answer: 33\nAnswer: 5", "33", False),
        ("Answer: 1,033", "1033", True),
        ("33", "33", False),
        ("Answer: up", "up", True),
    ],
)
def test_a_pattern_reads_its_last_match(completion: str, expected: str, right: bool) -> None:
    assert match("regex", completion, expected, r"Answer: (\S+)") is right


def test_a_group_that_took_no_part_is_a_wrong_answer() -> None:
    assert match("regex", "none", "33", r"Answer: (\d+)|none") is False


@pytest.mark.parametrize(
    ("kind", "expected", "pattern"),
    [
        ("none", "33", None),
        ("numeric", "up", None),
        ("last_number", "33 or 34", None),
        ("regex", "33", "("),
        ("regex", "33", r"\d+"),
        ("regex", "33", None),
    ],
)
def test_what_cannot_be_graded_is_refused_before_any_completion(
    kind: MatchKind, expected: str, pattern: str | None
) -> None:
    with pytest.raises(ConfigError) as caught:
        match(kind, "", expected, pattern)
    assert caught.value.hint


def test_prompts_without_an_answer_have_no_grade() -> None:
    unchecked = DataConfig(path="p.jsonl")
    checked = DataConfig(path="p.jsonl", answer_match="last_number")
    assert grade(unchecked, "33", "33") is None
    assert grade(checked, "33", None) is None
    assert grade(checked, "=33", "33") is True
    assert grade(checked, "=34", "33") is False


@given(st.decimals(min_value=-(10**12), max_value=10**12, allow_nan=False, allow_infinity=False, places=2))
def test_grouped_currency_reads_back(value: Decimal) -> None:
    number = parse_number(f"{value:,.2f}")
    assert number is not None
    assert number.value == value
    swiss = parse_number(f"{value:,.2f}".replace(",", "'"))
    assert swiss is not None
    assert swiss.value == value


@given(st.integers(min_value=-(10**60), max_value=10**60))
def test_integers_of_any_length_are_exact(value: int) -> None:
    assert match("last_number", f"so it is {value}.", str(value))
    assert not match("last_number", f"so it is {value + 1}.", str(value))
    assert match("numeric", f"{value:,}", str(value))


@given(st.text(max_size=200), st.integers(min_value=0, max_value=99))
def test_text_before_the_answer_never_matters(before: str, answer: int) -> None:
    assert match("last_number", f"{before}\n= {answer}\n", str(answer))


@given(st.text(alphabet="0123456789.,-+−%$€()eEkmb '\n", max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    for number in find_numbers(text):
        assert number.value.is_finite()
    assert match("exact", text, text)
