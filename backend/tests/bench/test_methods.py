"""The bench of methods: results are kept, intervals hold what they promise, rows name what was measured."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from opd.bench.methods.bench import run_methods_bench
from opd.bench.methods.catalogue import COMPARISONS, ROWS, Row, chosen_rows
from opd.bench.methods.document import document
from opd.bench.methods.lab import PAPER_ADDRESS, Lab
from opd.bench.methods.table import difference, fill
from opd.bench.methods.trials import Outcome, Trial, Trials
from opd.config import EvaluationConfig, RunConfig
from opd.demo.bundled import teacher_dir
from opd.demo.settings import demo_config
from opd.errors import RunFailedError

pytestmark = pytest.mark.usefixtures("warm_interpreters")


def outcome(shares: list[float], **changes: object) -> Outcome:
    facts = {"reverse_kl": 0.5, "teacher_tokens": 100, "usd": 0.0, "seconds": 1.0, **changes}
    return Outcome({f"prompt {i}": share for i, share in enumerate(shares)}, **facts)  # type: ignore[arg-type]  # by name


def short(lab: Lab) -> RunConfig:
    config = demo_config(seed=lab.seed)
    return config.model_copy(
        update={
            "max_steps": 2,
            "baseline": config.baseline.model_copy(update={"enabled": False}),
            "evaluation": EvaluationConfig(max_prompts=8, probe_prompts=0),
        }
    )


def test_a_trial_runs_once_and_its_rows_come_from_what_it_measured(tmp_path: Path) -> None:
    trial = Trial("short", short)
    rows = [Row("start", ("logit",), "before", trial, "before"), Row("short", ("logit",), "after", trial)]
    told: list[tuple[int, int]] = []
    lines = run_methods_bench(
        rows, num_seeds=1, folder=tmp_path, progress=lambda done, total, _: told.append((done, total))
    )
    assert told[-1][0] == told[-1][1]
    found = document(lines, 1)["rows"]
    assert [row["method"] for row in found] == ["start", "short"]
    assert found[0]["seconds"] == 0 < found[1]["seconds"]
    assert found[1]["teacher_tokens"] > 0
    assert all(0 <= row["exact_match"]["low"] <= row["exact_match"]["high"] <= 1 for row in found)
    runs = sorted((tmp_path / "runs").iterdir())
    again = run_methods_bench(rows, num_seeds=1, folder=tmp_path)
    assert sorted((tmp_path / "runs").iterdir()) == runs, "the kept result was not used"
    assert [line.as_dict() for line in again] == [line.as_dict() for line in lines]
    assert Trials(tmp_path).kept(Trial("short", lambda lab: demo_config(seed=lab.seed)), 0) is None


def test_a_trial_that_fails_says_why_and_keeps_nothing(tmp_path: Path) -> None:
    trial = Trial("broken", short, program="opd.bench.methods.nothing")
    with pytest.raises(RunFailedError, match="The trial broken ended early") as failure:
        Trials(tmp_path).run(trial, 0)
    log = Path(failure.value.hint.split("Its log is ")[1].partition(";")[0])
    assert "No module named opd.bench.methods.nothing" in log.read_text()
    assert Trials(tmp_path).kept(trial, 0) is None


def test_the_interval_covers_the_truth_over_seeds_and_prompts() -> None:
    rng = random.Random(0)
    covered = 0
    for _ in range(40):
        difficulty = [rng.random() for _ in range(120)]
        outcomes = []
        for _ in range(3):
            shift = rng.gauss(0, 0.03)
            outcomes.append(outcome([float(rng.random() < min(max(p + shift, 0), 1)) for p in difficulty]))
        line = fill(ROWS[0], outcomes)
        covered += line.low <= 0.5 <= line.high
    assert covered >= 36


def test_one_seed_has_an_interval_of_its_prompts() -> None:
    line = fill(ROWS[0], [outcome([1.0, 0.0] * 50)])
    assert 0.35 < line.low < line.mean == 0.5 < line.high < 0.65


def test_a_difference_is_taken_question_by_question() -> None:
    """Two rows that differ in two of a hundred questions: the questions' own spread is in neither side's favour."""
    lines = {
        COMPARISONS[0].than: fill(ROWS[0], [outcome([1.0, 0.0] * 50)]),
        COMPARISONS[0].row: fill(ROWS[1], [outcome([1.0, 1.0] * 2 + [1.0, 0.0] * 48)]),
    }
    found = difference(COMPARISONS[0], lines)["exact_match"]
    assert 0 <= found["low"] < found["mean"] == 0.02 < found["high"] < 0.06


def test_every_row_can_be_described_on_paper(tmp_path: Path) -> None:
    for row in ROWS:
        with Lab(0, tmp_path, on_paper=True) as lab:
            assert row.trial.make(lab).seed == 0


def test_names_are_unique_and_groups_hold_what_they_compare_with() -> None:
    names = {row.name for row in ROWS}
    assert len(names) == len(ROWS)
    assert all({one.row, one.than} <= names for one in COMPARISONS)
    for group in ("logit", "chat", "regime"):
        assert {"start", "sft"} < {row.name for row in chosen_rows(group)}


def test_nothing_is_served_on_paper(tmp_path: Path) -> None:
    with Lab(0, tmp_path, on_paper=True) as lab:
        assert lab.serve(teacher_dir()) == PAPER_ADDRESS
    assert not (tmp_path / "serve.log").exists()
