"""The results file: goes on after a kill, never mixes two measurements."""

from __future__ import annotations

from pathlib import Path

import pytest

from opd.evaluation.results import (
    GradedAnswer,
    ResultsFile,
    ScoredSample,
    read_evaluation,
    results_path,
)

KEY = {"model": "a", "prompts": "p"}


def answer(number: int, text: str = "=33") -> GradedAnswer:
    return GradedAnswer(
        prompt_id=f"p{number}",
        question="What is 30 + 3?",
        expected="33",
        text=text,
        correct=True,
        num_tokens=4,
        truncated=False,
        repeated=False,
        refused=False,
    )


def sample(number: int) -> ScoredSample:
    return ScoredSample(f"p{number}", num_tokens=4, sum_reverse_kl=1.5, sum_teacher_nll=2.25, sum_entropy=0.1)


def write(path: Path, *numbers: int, key: dict[str, str] = KEY) -> None:
    file = ResultsFile(path, key)
    for number in numbers:
        file.append([answer(number)], [sample(number)])
    file.close()


def test_results_read_back_bit_for_bit(tmp_path: Path) -> None:
    path = results_path(tmp_path, "before")
    odd = answer(0, "line\r\n\u2028 \ud800 \U0001f600 \x00")
    file = ResultsFile(path, KEY)
    file.append([odd, answer(1)], [sample(0)])
    file.close()
    found = read_evaluation(tmp_path, "before")
    assert found is not None
    assert found.answers == (odd, answer(1))
    assert found.samples == (sample(0),)


def test_nothing_measured_is_none(tmp_path: Path) -> None:
    assert read_evaluation(tmp_path, "after") is None


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_file_cut_anywhere_keeps_its_finished_chunks(tmp_path: Path, cut: int) -> None:
    path = results_path(tmp_path, "before")
    write(path, 0, 1, 2)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    file = ResultsFile(path, KEY)
    assert len(file.chunks) == 2
    file.append([answer(2)], [sample(2)])
    file.close()
    assert path.read_bytes() == whole


def test_another_key_starts_anew(tmp_path: Path) -> None:
    path = results_path(tmp_path, "before")
    write(path, 0, 1)
    file = ResultsFile(path, {**KEY, "model": "b"})
    assert file.chunks == []
    file.close()
    found = read_evaluation(tmp_path, "before")
    assert found is not None
    assert found.answers == ()


@pytest.mark.parametrize(
    "damage", [b"", b"\x00\xff", b"[]\n", b'{"type": "answer"}\n', b'{"type": "header", "version": 99}\n']
)
def test_damage_is_measured_again_not_trusted(tmp_path: Path, damage: bytes) -> None:
    path = results_path(tmp_path, "before")
    path.parent.mkdir(parents=True)
    path.write_bytes(damage)
    file = ResultsFile(path, KEY)
    assert file.chunks == []
    file.append([answer(0)], [])
    file.close()
    assert len(ResultsFile(path, KEY).chunks) == 1


@pytest.mark.parametrize("subject", ["../x", "", "A b", "/etc"])
def test_a_subject_is_never_a_path(tmp_path: Path, subject: str) -> None:
    with pytest.raises(ValueError, match="cannot name"):
        results_path(tmp_path, subject)
