"""Several runs side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from opd.evaluation.compare import compare_outcomes, run_outcome
from opd.events import RunSummary
from seeded_run import make_run


def test_runs_are_ranked_by_what_they_gained(tmp_path: Path) -> None:
    small = make_run(tmp_path, "small", num_steps=10, levels={"before": 0.33, "after": 0.55})
    large = make_run(tmp_path, "large", num_steps=10)
    worse = make_run(tmp_path, "worse", num_steps=10, levels={"before": 0.5, "after": 0.2})
    outcomes = compare_outcomes({run.run_id: run.summary() for run in (worse, small, large)} | {"none": RunSummary()})
    assert [outcome.run_id for outcome in outcomes] == ["large", "small", "worse", "none"]
    assert [outcome.conclusion for outcome in outcomes] == ["better", "better", "worse", None]
    best = outcomes[0]
    assert best.gain_points is not None
    assert best.gain_over_sft_points is not None
    assert best.gain_points.mean == pytest.approx(
        100 * (best.final["exact_match"] - large.summary().evaluations["before"].metrics["exact_match"].mean)
    )
    assert best.usd_per_point == pytest.approx(0.42 / best.gain_points.mean)
    assert outcomes[2].usd_per_point is None
    assert outcomes[3].gain_points is None


def test_a_run_without_a_verdict_has_no_outcome_but_its_cost() -> None:
    outcome = run_outcome("r", RunSummary())
    assert (outcome.conclusion, outcome.metric, outcome.spent_usd, outcome.headline) == (None, None, 0.0, "")
