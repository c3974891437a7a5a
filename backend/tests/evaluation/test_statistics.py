"""Intervals and comparisons: against closed forms, by enumeration, and by simulated evaluations with a known truth."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opd.evaluation.statistics import (
    PerPrompt,
    _student_quantile,
    compare,
    detectable_difference,
    mean_interval,
    num_prompts_needed,
)
from opd.events import Interval

Rng = np.random.Generator


def per_prompt(values: list[float]) -> PerPrompt:
    return PerPrompt.of((f"p{index}", value, 1.0) for index, value in enumerate(values))


def test_students_quantiles_are_the_textbook_ones() -> None:
    table = {1: 12.7062, 2: 4.3027, 3: 3.1824, 9: 2.2622, 29: 2.0452, 120: 1.9799}
    for degrees, expected in table.items():
        assert _student_quantile(degrees) == pytest.approx(expected, abs=2e-4)


def test_wilsons_interval_is_the_closed_form() -> None:
    interval = mean_interval(per_prompt([1.0] * 33 + [0.0] * 67), is_share=True)
    z, n, p = 1.959964, 100, 0.33
    centre, half = (p + z * z / (2 * n)), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert interval.low == pytest.approx((centre - half) / (1 + z * z / n), abs=1e-6)
    assert interval.high == pytest.approx((centre + half) / (1 + z * z / n), abs=1e-6)
    assert interval.num == 100


def test_samples_of_one_prompt_are_not_independent() -> None:
    copied = PerPrompt.of((f"p{i % 40}", float(i % 40 < 20), 1.0) for i in range(400))
    once = per_prompt([1.0] * 20 + [0.0] * 20)
    assert mean_interval(copied, is_share=True).low == pytest.approx(mean_interval(once, is_share=True).low, abs=0.01)


@pytest.mark.parametrize("num", [1, 2, 9, 10, 500])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_results_never_claim_certainty(num: int, value: float) -> None:
    share = mean_interval(per_prompt([value] * num), is_share=True)
    level = mean_interval(per_prompt([24.0] * num))
    gap = compare(per_prompt([value] * num), per_prompt([value] * num), is_share=True)
    assert share.high - share.low > 1 / (num + 10)
    assert level.low < 24.0 < level.high
    assert gap.difference.low < 0 < gap.difference.high
    assert gap.p_value == 1.0
    assert gap.num_changed == 0


def test_no_prompt_and_no_common_prompt_are_refused() -> None:
    with pytest.raises(ValueError, match="No prompt"):
        mean_interval(per_prompt([]))
    with pytest.raises(ValueError, match="no prompt in common"):
        compare(PerPrompt.of([("a", 1.0, 1.0)]), PerPrompt.of([("b", 1.0, 1.0)]))


def test_the_same_data_and_seed_give_the_same_interval() -> None:
    values = per_prompt([float(v) for v in np.random.default_rng(3).lognormal(size=50)])
    assert mean_interval(values, seed=5) == mean_interval(values, seed=5)
    assert mean_interval(values, seed=5) != mean_interval(values, seed=6)


def test_a_comparison_uses_common_prompts_only_and_pairs_them() -> None:
    before = PerPrompt.of((f"p{i}", float(i), 1.0) for i in range(30))
    after = PerPrompt.of((f"p{i}", float(i) + 1, 1.0) for i in reversed(range(10, 50)))
    gap = compare(after, before)
    assert gap.difference.num == 20
    assert gap.difference.mean == pytest.approx(1.0)
    # Every prompt moved by the same amount, so pairing leaves only the doubt about unseen prompts.
    assert gap.difference.high - gap.difference.low < 10


def test_nats_per_token_weigh_by_tokens() -> None:
    data = PerPrompt.of([("a", 10.0, 100.0), ("b", 10.0, 1.0), ("a", 0.0, 99.0)])
    assert data.mean == pytest.approx(20.0 / 200.0)


def test_the_sign_flip_test_equals_enumeration() -> None:
    left, right = [1.0, 0.0, 1.0, 1.0, 1.0, 0.5], [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]
    gaps = [a - b for a, b in zip(left, right, strict=True)]
    flipped = [
        abs(sum(s * g for s, g in zip(signs, gaps, strict=True))) for signs in itertools.product([1, -1], repeat=6)
    ]
    expected = np.mean([value >= abs(sum(gaps)) - 1e-12 for value in flipped])
    assert compare(per_prompt(left), per_prompt(right)).p_value == pytest.approx(expected)


def test_many_prompts_all_better_leave_no_doubt() -> None:
    gap = compare(per_prompt([1.0] * 40), per_prompt([0.0] * 40), is_share=True)
    assert gap.p_value < 0.001
    assert gap.difference.low > 0.8
    assert gap.difference.high == 1.0


def test_prompts_needed_and_detectable_difference_are_inverse() -> None:
    needed = num_prompts_needed(0.05, 0.6, significance=0.01)
    assert needed == math.ceil(((2.5758293 + 0.8416212) * 0.6 / 0.05) ** 2)
    assert detectable_difference(needed, 0.6, significance=0.01) == pytest.approx(0.05, rel=1e-3)
    assert num_prompts_needed(0.0, 0.6, significance=0.01) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=40))
def test_an_interval_always_holds_its_mean_and_is_finite(values: list[float]) -> None:
    interval = mean_interval(per_prompt(values), resamples=200)
    assert 0 <= interval.low <= interval.mean <= interval.high
    assert math.isfinite(interval.high)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_shares_of_samples_stay_shares_and_differences_are_antisymmetric(pairs: list[tuple[int, int]]) -> None:
    left = PerPrompt.of((f"p{i}", float(a), 3.0) for i, (a, _) in enumerate(pairs))
    right = PerPrompt.of((f"p{i}", float(b), 3.0) for i, (_, b) in enumerate(pairs))
    share = mean_interval(left, is_share=True)
    assert 0 <= share.low <= share.mean <= share.high <= 1
    forth, back = (compare(*both, is_share=True, resamples=200) for both in ((left, right), (right, left)))
    assert forth.difference.mean == pytest.approx(-back.difference.mean)
    assert -1 <= forth.difference.low <= forth.difference.high <= 1
    assert 0 < forth.p_value <= 1


def coverage(simulate: Callable[[Rng], Interval], truth: float, num: int = 200) -> float:
    intervals = [simulate(np.random.default_rng(seed)) for seed in range(num)]
    return float(np.mean([interval.low <= truth <= interval.high for interval in intervals]))


@pytest.mark.parametrize(("num", "share", "samples"), [(20, 0.33, 1), (50, 0.9, 3), (200, 0.05, 3), (500, 0.33, 1)])
def test_the_interval_of_a_share_covers_the_truth(num: int, share: float, samples: int) -> None:
    def simulate(rng: Rng) -> Interval:
        chance = rng.beta(share * 2, (1 - share) * 2, num)
        right = rng.binomial(samples, chance)
        data = PerPrompt.of((f"p{i}", float(right[i]), float(samples)) for i in range(num))
        return mean_interval(data, is_share=True)

    assert coverage(simulate, share) >= 0.9


@pytest.mark.parametrize(("num", "spread"), [(20, 0.5), (50, 0.7), (200, 1.0)])
def test_the_interval_of_nats_per_token_covers_the_truth(num: int, spread: float) -> None:
    def simulate(rng: Rng) -> Interval:
        tokens, nats = rng.integers(5, 40, num), rng.lognormal(0, spread, num)
        data = PerPrompt.of((f"p{i}", float(tokens[i] * nats[i]), float(tokens[i])) for i in range(num))
        return mean_interval(data, resamples=800)

    assert coverage(simulate, math.exp(spread**2 / 2)) >= 0.9


@pytest.mark.parametrize(
    ("num", "before", "after"), [(12, 0.33, 0.5), (40, 0.33, 0.5), (500, 0.33, 0.36), (200, 0.9, 0.97)]
)
def test_the_interval_of_a_paired_difference_covers_the_truth(num: int, before: float, after: float) -> None:
    def simulate(rng: Rng) -> Interval:
        easy = rng.random(num)
        again = np.where(rng.random(num) < 0.7, easy, rng.random(num))
        left, right = per_prompt(list((again < after) * 1.0)), per_prompt(list((easy < before) * 1.0))
        return compare(left, right, is_share=True, resamples=500).difference

    assert coverage(simulate, after - before) >= 0.9
