"""Token-level scores against the definition, written out in float64 over the full vocabulary."""

from __future__ import annotations

import math

import pytest
import torch

from opd.evaluation.scoring import LocalScorer, score_rows, token_scores
from opd.training.decoding import Completion
from opd.training.window import Row
from tiny import make_model, make_tokenizer

ROWS = [
    Row((5, 6, 7), Completion((10, 11, 12, 2), True), True),
    Row((8, 9), Completion((), False), True),
    Row((20, 21, 22, 23, 24), Completion((30,), False), True),
    Row((3,), Completion((40, 41, 42, 43, 44, 45, 46), False), True),
]


def naive(student: torch.nn.Module, teacher: torch.nn.Module, row: Row) -> list[tuple[float, float, float, float]]:
    """Reverse KL, entropy and both log-probabilities of each completion token, one forward a row, float64."""
    ids = torch.tensor([[*row.prompt_ids, *row.completion.ids]])
    with torch.no_grad():
        log_q, log_p = (model(ids).logits[0].double().log_softmax(-1) for model in (student, teacher))
    size = min(log_q.shape[-1], log_p.shape[-1])
    found = []
    for index, token in enumerate(row.completion.ids):
        q, p = (law[len(row.prompt_ids) - 1 + index][:size].log_softmax(-1) for law in (log_q, log_p))
        kl = sum(math.exp(a) * (a - b) for a, b in zip(q.tolist(), p.tolist(), strict=True))
        entropy = -sum(math.exp(a) * a for a in q.tolist())
        found.append((kl, entropy, float(q[token]), float(p[token])))
    return found


@pytest.mark.parametrize("teacher_vocabulary", [97, 104])
def test_scores_equal_the_definition(teacher_vocabulary: int) -> None:
    student, teacher = make_model(seed=1), make_model(seed=2, vocab_size=teacher_vocabulary, hidden_size=48)
    found = score_rows(student, teacher, ROWS, pad_id=0)
    for row, facts in zip(ROWS, found, strict=True):
        columns = (facts.reverse_kl_N, facts.entropy_N, facts.student_logprob_N, facts.teacher_logprob_N)
        ours = [tuple(float(column[i]) for column in columns) for i in range(len(row.completion.ids))]
        assert ours == [pytest.approx(expected, rel=1e-4, abs=1e-5) for expected in naive(student, teacher, row)]
        assert all(column.dtype == torch.float32 for column in columns)


def test_a_teacher_that_is_the_student_has_no_divergence() -> None:
    model = make_model(seed=1)
    for facts in score_rows(model, model, ROWS, pad_id=0):
        assert torch.allclose(facts.reverse_kl_N, torch.zeros_like(facts.reverse_kl_N), atol=1e-6)


def test_models_are_left_as_they_were() -> None:
    student, teacher = make_model(seed=1).train(), make_model(seed=2)
    score_rows(student, teacher, ROWS, pad_id=0)
    assert student.training
    assert not teacher.training


def test_no_row_gives_no_score() -> None:
    model = make_model()
    assert score_rows(model, model, [], pad_id=0) == []
    assert len(score_rows(model, model, [ROWS[1]], pad_id=0)[0].reverse_kl_N) == 0


def test_shaded_tokens_join_to_the_text() -> None:
    tokenizer = make_tokenizer()
    student, teacher = make_model(seed=1), make_model(seed=2)

    def decode(ids: object) -> str:
        return str(tokenizer.decode(list(ids), skip_special_tokens=True))  # type: ignore[call-overload]

    row = ROWS[0]
    scores = token_scores(student, LocalScorer(teacher, ""), row, pad_id=0, decode=decode)
    assert "".join(score.text for score in scores) == decode(row.completion.ids)
    assert [score.text == "" for score in scores] == [False, False, False, True]
    for score, expected in zip(scores, naive(student, teacher, row), strict=True):
        assert (score.student_logprob, score.teacher_logprob) == pytest.approx(expected[2:], rel=1e-4)


def test_a_character_of_several_tokens_shows_with_its_last() -> None:
    parts = {30: b"\xe2", 31: b"\x82", 32: b"\xac", 33: b"!"}

    def decode(ids: object) -> str:
        return b"".join(parts[i] for i in ids).decode("utf-8", "replace")  # type: ignore[attr-defined]

    row = Row((3,), Completion((30, 31, 32, 33), False), True)
    scores = token_scores(make_model(seed=1), LocalScorer(make_model(seed=2), ""), row, pad_id=0, decode=decode)
    assert [score.text for score in scores] == ["", "", "€", "!"]
