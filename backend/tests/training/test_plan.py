"""The plan of a run: pure, complete, and lambda as promised."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opd.training.plan import WindowPlan, derive_seed


@given(st.integers(1, 40), st.integers(1, 17), st.integers(1, 30), st.integers(0, 5))
def test_every_epoch_visits_every_prompt_once(num_prompts: int, rows: int, steps: int, seed: int) -> None:
    plan = WindowPlan(num_prompts, rows, steps, 1.0, seed)
    visited = [row.prompt for window in plan for row in window]
    for first in range(0, len(visited) - num_prompts + 1, num_prompts):
        assert sorted(visited[first : first + num_prompts]) == list(range(num_prompts))


@given(st.floats(0, 1), st.integers(1, 20), st.integers(1, 50))
def test_lambda_is_the_share_of_rows_that_the_student_writes(share: float, rows: int, steps: int) -> None:
    plan = WindowPlan(10, rows, steps, share, 0)
    counts = [sum(row.on_policy for row in window) for window in plan]
    assert abs(sum(counts) - share * rows * steps) <= 1
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (1.0, 1)])
def test_lambda_0_and_1_are_exact(share: float, expected: int) -> None:
    assert all(row.on_policy == expected for window in WindowPlan(7, 3, 50, share, 1) for row in window)


def test_a_step_depends_on_nothing_but_seed_and_step() -> None:
    one, other = WindowPlan(119, 16, 200, 0.4, 7), WindowPlan(119, 16, 200, 0.4, 7)
    _ = [other[step] for step in (3, 150, 0)]
    assert one[117] == other[117]
    assert one[117] != WindowPlan(119, 16, 200, 0.4, 8)[117]


def test_epochs_are_shuffled_differently_and_seeds_do_not_repeat() -> None:
    plan = WindowPlan(50, 50, 4, 1.0, 0)
    orders = {tuple(row.prompt for row in window) for window in plan}
    assert len(orders) == 4
    assert max(Counter(row.seed for window in plan for row in window).values()) == 1


def test_derived_seeds_are_the_same_on_every_machine() -> None:
    assert derive_seed(0, "rollout", 0, 0) == 7495529665118662525
