"""Few prompts or many: told with the figures that were measured, and only where they apply."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from opd.config import RunConfig, parse_config
from opd.evaluation.regime import FEW, MANY, Measured, regime_advice, regime_remarks, regime_words

BENCHMARK = Path(__file__).resolve().parents[3] / "docs" / "methods-benchmark.json"


def config(**changes: Any) -> RunConfig:
    settings = {
        "student": {"model": "s"},
        "teacher": {"type": "local", "model": "t"},
        "data": {"path": "p.jsonl"},
        "max_steps": 200,
        "batch_size": 16,
    }
    return parse_config(settings | changes)


def test_the_figures_are_the_benchmarks() -> None:
    rows = {row["method"]: row for row in json.loads(BENCHMARK.read_text(encoding="utf-8"))["rows"]}

    def holds(said: Measured, imitation: str, on_policy: str) -> None:
        left, right = rows[imitation], rows[on_policy]
        found = [left["exact_match"]["mean"], right["exact_match"]["mean"]]
        # A table that is measured anew with other seeds may differ by that much without the sentence being wrong.
        assert [said.imitation, said.on_policy] == pytest.approx(found, abs=0.02)
        tokens = [left["teacher_tokens"], right["teacher_tokens"]]
        assert [said.imitation_tokens, said.on_policy_tokens] == pytest.approx(tokens, rel=0.05)

    holds(FEW, "sft", "full_distribution")
    holds(MANY, "sft_many_prompts", "many_prompts")


@pytest.mark.parametrize(
    ("num_prompts", "says"), [(119, "Few prompts: 119, each seen about 27 times"), (1_119, "Many")]
)
def test_a_run_is_told_its_regime(num_prompts: int, says: str) -> None:
    words = regime_advice(config(), num_prompts)
    assert words is not None
    assert words.startswith(says)
    assert words.endswith("baseline.enabled shows both on your prompts.")
    (remark,) = regime_remarks(config(), num_prompts)
    assert remark.startswith("Imitation was not measured in this run.")


def test_a_run_with_its_own_baseline_goes_by_that() -> None:
    own = config(baseline={"enabled": True})
    assert regime_remarks(own, 119) == []
    assert regime_advice(own, 119) == regime_words(own, 119)


def test_runs_that_were_not_measured_so_are_told_nothing() -> None:
    marks = config(teacher={"type": "chat", "model": "openai/gpt-4o-mini"}, objective={"type": "mark"})
    assert regime_words(marks, 119) is None
    assert regime_words(config(**{"lambda": 0.0}), 119) is None
    assert "each seen once at most" in str(regime_words(config(), 100_000))
