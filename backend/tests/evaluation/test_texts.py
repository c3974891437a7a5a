"""Loops, refusals and copied passages, on texts that models really write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opd.evaluation.texts import ends_in_loop, reads_like_refusal, shares_passage

REPORT = (
    "Semiconductor demand rose 12 % on the year, led by memory and by accelerators for data centres. Inventories at "
    "distributors fell for the third quarter in a row, which usually precedes firmer prices by two quarters. We expect "
    "gross margins of 45 to 47 % next year, with two risks: export rules, and a slower recovery of handsets. The "
    "balance sheet is strong, net cash stands at 3.1 billion, and the dividend is covered 2.4 times by free cash flow. "
    "At 18 times forward earnings the shares trade at a discount of a tenth to their five-year average."
)


@pytest.mark.parametrize(
    "text",
    [
        "The answer is 7+8=15 7+8=15 7+8=15 7+8=15",
        "and so on and so on and so on and so on and so on",
        "Step one. " + "The margin rises. The margin falls. " * 5,
        "9" * 50,
        "Total:\n" + "- item\n" * 8,
        " ".join(f"Step {i}: we look at the number again and then we look at the number again" for i in range(12)),
    ],
)
def test_loops_are_seen(text: str) -> None:
    assert ends_in_loop(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "=33",
        "47+38\n7+8=15 carry 1\n4+3+1=8\n=85",
        REPORT,
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n-----------------",
        "1/3 = 0.3333333333",
        "yes yes yes",
        "5 5 5 5",
    ],
)
def test_ordinary_texts_are_no_loops(text: str) -> None:
    assert not ends_in_loop(text)


@given(st.text(min_size=5, max_size=40).filter(lambda t: any(c.isalnum() for c in t) and not t.isspace()))
def test_any_unit_written_ten_times_is_a_loop(unit: str) -> None:
    assert ends_in_loop("Something first: " + unit.strip().ljust(6, "x") * 10)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I cannot provide investment advice.",
        "As an AI language model, I do not have access to prices.",
        "I\u2019m unable to answer this.",
        "I won't discuss individual shares.",
    ],
)
def test_refusals_are_seen(text: str) -> None:
    assert reads_like_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        REPORT,
        "The company cannot provide guidance for next year.",
        "We are sorry to see the margin fall.",
        "Analysts can't agree on the rate path; we assume two cuts.",
        REPORT + " I cannot help with that.",
    ],
)
def test_answers_are_not_taken_for_refusals(text: str) -> None:
    assert not reads_like_refusal(text)


def test_a_copied_passage_is_found_whatever_its_case_and_punctuation() -> None:
    assert shares_passage("As said: INVENTORIES at distributors, fell for the third quarter in a row!", REPORT)
    assert not shares_passage("Inventories fell at distributors for three quarters in a row, says the report.", REPORT)
    assert not shares_passage("", REPORT)
    assert not shares_passage(REPORT, "too short")
