"""Prompts divided into training and held out, and given to a trainer."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_files import EXAMPLES
from opd.data_loader import Message, PromptRecord, load_prompts, prompt_id, split
from opd.errors import DataError


def records_of(texts: list[str]) -> list[PromptRecord]:
    lists: list[tuple[Message, ...]] = [({"role": "user", "content": text},) for text in texts]
    return [PromptRecord(prompt_id(messages), messages, None, line + 1) for line, messages in enumerate(lists)]


@settings(deadline=None)
@given(st.lists(st.text(min_size=1, max_size=3), max_size=40), st.floats(0, 0.99), st.integers(0, 5))
def test_split_keeps_everything_and_separates_twins(texts: list[str], fraction: float, seed: int) -> None:
    records = records_of(texts)
    divided = split(records, fraction, seed)
    assert sorted([*divided.train, *divided.test], key=lambda record: record.line) == records
    assert not {record.id for record in divided.train} & {record.id for record in divided.test}
    assert divided == split(records, fraction, seed)
    different = {" ".join(record.messages[0]["content"].split()) for record in records}
    if fraction == 0:
        assert not divided.test
    elif len({text.casefold() for text in different}) > 1 and all(text.isascii() for text in different):
        assert divided.train
        assert divided.test


def test_split_does_not_depend_on_the_order_and_does_depend_on_the_seed() -> None:
    records = records_of([f"question {number}" for number in range(50)])
    chosen = {record.id for record in split(records, 0.2, seed=1).test}
    assert len(chosen) == 10
    assert {record.id for record in split(records[::-1], 0.2, seed=1).test} == chosen
    assert {record.id for record in split(records, 0.2, seed=2).test} != chosen


def test_split_keeps_twins_together() -> None:
    records = records_of(["a b", "a  b", "caf\u00e9", "cafe\u0301"])
    for seed in range(8):
        divided = split(records, 0.5, seed)
        assert {record.line for record in divided.test} in ({1, 2}, {3, 4})


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_split_refuses_fractions_outside_the_range(fraction: float) -> None:
    with pytest.raises(DataError, match="expected a number from 0"):
        split(records_of(["a", "b"]), fraction, 0)


def test_prompt_ids_are_stable() -> None:
    assert prompt_id([{"role": "user", "content": "What moves the price of copper?"}]) == "9f6c9f49e003b626"


def test_to_dataset_has_one_column_of_messages() -> None:
    pytest.importorskip("datasets")
    from opd.data_loader import to_dataset

    records = load_prompts(EXAMPLES / "on_policy_prompts_test.jsonl")
    dataset = to_dataset(records)
    assert dataset.column_names == ["prompt"]
    assert dataset[3]["prompt"] == list(records[3].messages)


def test_reading_needs_no_ml_package() -> None:
    program = (
        "import sys, opd.data_loader as d; d.load_prompts(sys.argv[1]); "
        "print(sorted({'torch', 'transformers', 'trl', 'datasets', 'numpy'} & set(sys.modules)))"
    )
    path = EXAMPLES / "on_policy_prompts_test.jsonl"
    result = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
