"""The regression set: a student that forgets what it knew outside the task is not called better."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from opd.config import parse_config
from opd.data_loader import load_prompts
from opd.demo.bundled import data_path, student_dir, teacher_dir
from opd.errors import DataError
from opd.evaluation.results import Evaluation, GradedAnswer, ScoredReference
from opd.evaluation.verdict import reach_verdict
from opd.pipeline.evaluate import Spoken
from opd.pipeline.regression import BUNDLED, GeneralAnswers
from opd.pipeline.workbench import Workbench, set_up
from opd.store.runs import RunStore


def bench_of(root: Path, **evaluation: Any) -> Workbench:
    config = parse_config(
        {
            "student": {"model": str(student_dir()), "training": "full"},
            "teacher": {"type": "local", "model": str(teacher_dir())},
            "data": {"path": str(data_path("validation")), "test_fraction": 0.1, "answer_match": "last_number"},
            "sampling": {"max_completion_tokens": 40},
            "evaluation": evaluation,
            "num_threads": 1,
            "device": "cpu",
        }
    )
    return set_up(RunStore(root).create(config), Spoken(lambda text: None), {})


def evaluation(subject: str, share: float, references: tuple[ScoredReference, ...]) -> Evaluation:
    answers = tuple(GradedAnswer(f"p{i}", "q", "1", "t", i < 200 * share, 24, False, False, False) for i in range(200))
    return Evaluation(subject, answers, references=references)


def shifted(references: tuple[ScoredReference, ...], nats: float) -> tuple[ScoredReference, ...]:
    """Each answer less likely by about so many nats a token, some by a little more than others."""
    return tuple(
        replace(one, sum_nll=one.sum_nll + nats * (0.9 + 0.2 * (i % 2)) * one.num_tokens)
        for i, one in enumerate(references)
    )


KNOWN = tuple(ScoredReference(f"g{i}", 20 + i, 80, 30.0 + i % 3) for i in range(16))


@pytest.mark.parametrize(
    ("nats", "conclusion"), [(0.0, "better"), (0.2, "better"), (-0.3, "better"), (0.6, "no_significant_change")]
)
def test_a_great_loss_outside_the_task_is_a_veto_and_a_small_one_a_line(nats: float, conclusion: str) -> None:
    found = reach_verdict(
        {"before": evaluation("before", 0.3, KNOWN), "after": evaluation("after", 0.8, shifted(KNOWN, nats))}
    )
    assert found.conclusion == conclusion
    line = next(line for line in found.lines if line.metric == "general_nll")
    assert line.difference.mean == pytest.approx(nats, rel=0.02)
    assert line.conclusion == {0.0: "no_significant_change", -0.3: "better"}.get(nats, "worse")
    assert any("questions outside the task" in note for note in found.notes) == (nats == 0.6)
    if nats == 0.6:
        assert found.headline.startswith("Not called better")
        assert found.recommended == "before"


def test_a_student_that_forgets_is_noticed(tmp_path: Path) -> None:
    """The bundled student's own answers stand for what it knew; a damaged copy of it finds them unlikely."""
    bench = bench_of(tmp_path)
    from opd.training.decoding import generate

    records = load_prompts(data_path("train"))[:10]
    written = generate(
        bench.student.model, bench.encode(records), seeds=[0] * 10, max_new_tokens=40,
        eos_ids=bench.student.eos_ids, pad_id=bench.student.pad_id, temperature=0,
    )  # fmt: skip
    lines = [
        {"messages": [*record.messages, {"role": "assistant", "content": bench.decode(answer.ids)}]}
        for record, answer in zip(records, written, strict=True)
    ]
    own = tmp_path / "own.jsonl"
    own.write_text("".join(json.dumps(line) + "\n" for line in lines))
    bench = bench_of(tmp_path, regression_path=str(own))
    general = GeneralAnswers(bench)
    before = general.of_model("before", bench.student.model)
    assert len(before) == 10
    assert general.remarks == []
    assert general.of_model("before", None) == before, "kept, not measured again"
    with torch.no_grad():
        for parameter in bench.student.model.parameters():
            parameter.mul_(1 + 0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    after = general.of_model("after", bench.student.model)
    found = reach_verdict({"before": evaluation("before", 0.3, before), "after": evaluation("after", 0.8, after)})
    assert found.conclusion == "no_significant_change"


def test_who_knows_no_language_has_nothing_to_lose_and_is_told(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    general = GeneralAnswers(bench)
    assert general.of_model("before", bench.student.model) == ()
    assert general.of_model("after", bench.student.model) == ()
    (remark,) = general.remarks
    assert "not compared" in remark
    assert GeneralAnswers(bench_of(tmp_path, regression=False)).of_model("before", bench.student.model) == ()


def test_the_bundled_questions_have_answers_and_a_short_set_is_refused(tmp_path: Path) -> None:
    assert sum(record.answer is not None for record in load_prompts(BUNDLED)) == 16
    short = tmp_path / "short.jsonl"
    short.write_text("".join(BUNDLED.read_text(encoding="utf-8").splitlines(keepends=True)[:7]))
    bench = bench_of(tmp_path, regression_path=str(short))
    with pytest.raises(DataError, match="7 prompts with an answer"):
        GeneralAnswers(bench).of_model("before", bench.student.model)
