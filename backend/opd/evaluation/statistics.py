"""Means, differences and their 95 % intervals, resampled by prompt.

In: per-prompt totals of a metric. Out: `Interval`s and comparisons. Knows nothing of models or of what a metric means.

The unit of evidence is the prompt: several samples of one prompt, or the tokens of one completion, are not independent
(Miller 2024, arXiv 2411.00640), so prompts are resampled whole and two models are compared on the same prompts.

Which interval is used, and why:

- a share of prompts: Wilson's interval with the effective number of observations (the clustered variance decides how
  many independent ones the samples are worth). It never claims certainty from 0 of n or n of n.
- a difference, from 10 prompts on: percentile bootstrap with widened percentiles (Hesterberg 2015,
  arXiv 1411.5279, "expanded percentile"), because the plain one is too narrow by sqrt((n-1)/n) and by normal instead
  of Student quantiles.
- any other mean, from 10 prompts on: studentised bootstrap (Efron and Tibshirani 1993, section 12.5). KL and lengths
  are skewed; there it covers the truth more often (20 log-normal prompts: 92 against 88 % of our simulations), while
  differences are nearly symmetric and gain nothing from it.
- fewer than 10 prompts: Student's t on the prompts, since a bootstrap of so few cannot see beyond them.
- all prompts equal: the spread is unknown, not zero. After n equal prompts at most 1 - 0.05^(1/n) of all prompts
  behave otherwise (95 %, the "rule of three"); the interval lets those lie at the far end of the range.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from opd.events import Interval

NUM_RESAMPLES = 4000
_SMALLEST_BOOTSTRAP = 10
_ELEMENTS_AT_ONCE = 2_000_000
_NORMAL = NormalDist()
Z_95 = _NORMAL.inv_cdf(0.975)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PerPrompt:
    """A metric by prompt: `totals[i] / sizes[i]` is prompt i's own mean; `sum(totals) / sum(sizes)` is the metric.

    For graded answers a size is the number of answers, for nats per token the number of tokens.
    """

    ids: tuple[str, ...]
    totals: Floats
    sizes: Floats

    @classmethod
    def of(cls, records: Iterable[tuple[str, float, float]]) -> PerPrompt:
        """From (prompt id, total, size) records; those of one prompt are added up. Order of first appearance."""
        sums: dict[str, tuple[float, float]] = {}
        for prompt_id, total, size in records:
            before = sums.get(prompt_id, (0.0, 0.0))
            sums[prompt_id] = (before[0] + total, before[1] + size)
        sums = {prompt_id: pair for prompt_id, pair in sums.items() if pair[1] > 0}
        pairs = np.array(list(sums.values()), dtype=np.float64).reshape(-1, 2)
        return cls(tuple(sums), pairs[:, 0].copy(), pairs[:, 1].copy())

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def mean(self) -> float:
        return float(self.totals.sum() / self.sizes.sum())

    def at(self, ids: Iterable[str]) -> PerPrompt:
        """The same metric on these prompts only, in this order; all must be known."""
        place = {prompt_id: index for index, prompt_id in enumerate(self.ids)}
        wanted = tuple(ids)
        rows = [place[prompt_id] for prompt_id in wanted]
        return PerPrompt(wanted, self.totals[rows], self.sizes[rows])


@dataclass(frozen=True)
class Comparison:
    """One metric of two models on the same prompts.

    `p_value`: chance of a difference at least this large if the two labels meant nothing (sign-flip test by prompt).
    `spread`: standard deviation of the difference per prompt. `num_changed`: prompts on which the two differ.
    """

    difference: Interval
    p_value: float
    spread: float
    num_changed: int


def mean_interval(
    data: PerPrompt, *, is_share: bool = False, seed: int = 0, resamples: int = NUM_RESAMPLES
) -> Interval:
    """The metric with its 95 % interval.

    Raises:
        ValueError: there is no prompt.
    """
    if not len(data):
        raise ValueError("No prompt was measured, expected at least one.")
    mean = data.mean
    if is_share:
        low, high = _wilson(mean, _effective_number(data, mean))
        return Interval(mean=mean, low=low, high=high, num=len(data))
    low, high = _interval([data], scale=abs(mean) or 1.0, seed=seed, resamples=resamples)
    if data.totals.min() >= 0:
        low = max(low, 0.0)
    return Interval(mean=mean, low=low, high=high, num=len(data))


def compare(
    after: PerPrompt, before: PerPrompt, *, is_share: bool = False, seed: int = 0, resamples: int = NUM_RESAMPLES
) -> Comparison:
    """after - before on the prompts that both have.

    Raises:
        ValueError: they have no prompt in common.
    """
    known = set(before.ids)
    common = [prompt_id for prompt_id in after.ids if prompt_id in known]
    if not common:
        raise ValueError("The two evaluations have no prompt in common.")
    left, right = after.at(common), before.at(common)
    level = max(abs(left.mean), abs(right.mean)) or 1.0
    low, high = _interval([left, right], scale=1.0 if is_share else level, seed=seed, resamples=resamples)
    if is_share:
        low, high = max(low, -1.0), min(high, 1.0)
    changed = int(np.count_nonzero(~np.isclose(left.totals / left.sizes, right.totals / right.sizes, atol=1e-12)))
    return Comparison(
        difference=Interval(mean=left.mean - right.mean, low=low, high=high, num=len(common)),
        p_value=_sign_flip_p(left, right, seed=seed, resamples=resamples),
        spread=_standard_error(_influence([left, right])) * math.sqrt(len(common)),
        num_changed=changed,
    )


def num_prompts_needed(difference: float, spread: float, *, significance: float, power: float = 0.8) -> int | None:
    """Prompts with which a true difference of this size would be found with this power; None for no difference."""
    if difference == 0:
        return None
    z = _NORMAL.inv_cdf(1 - significance / 2) + _NORMAL.inv_cdf(power)
    return max(1, math.ceil((z * spread / difference) ** 2))


def detectable_difference(num_prompts: int, spread: float, *, significance: float, power: float = 0.8) -> float:
    """The smallest true difference that this many prompts find with this power."""
    z = _NORMAL.inv_cdf(1 - significance / 2) + _NORMAL.inv_cdf(power)
    return z * spread / math.sqrt(num_prompts)


def _influence(parts: Sequence[PerPrompt]) -> Floats:
    """Each prompt's pull on the ratio, or on the first less the second; see `_standard_error` (delta method)."""
    pulls = [(part.totals - part.mean * part.sizes) / part.sizes.mean() for part in parts]
    return pulls[0] if len(pulls) == 1 else pulls[0] - pulls[1]


def _standard_error(influence: Floats) -> float:
    return float(np.std(influence, ddof=1)) / math.sqrt(len(influence)) if len(influence) > 1 else 0.0


def _effective_number(data: PerPrompt, share: float) -> float:
    """How many independent yes/no observations the samples are worth: between prompts and samples."""
    if len(data) < 2:
        return 1.0
    # Divided by n, not n - 1: with one answer a prompt this gives exactly n observations.
    variance = _standard_error(_influence([data])) ** 2 * (len(data) - 1) / len(data)
    binomial = share * (1 - share)
    if variance <= 0 or binomial <= 0:
        return float(len(data))
    return float(np.clip(binomial / variance, 1.0, data.sizes.sum()))


def _wilson(share: float, num: float) -> tuple[float, float]:
    """Wilson 1927, score interval of a binomial share."""
    centre = share + Z_95**2 / (2 * num)
    half = Z_95 * math.sqrt(share * (1 - share) / num + Z_95**2 / (4 * num**2))
    divisor = 1 + Z_95**2 / num
    return min(share, max(0.0, (centre - half) / divisor)), max(share, min(1.0, (centre + half) / divisor))


def _interval(parts: Sequence[PerPrompt], *, scale: float, seed: int, resamples: int) -> tuple[float, float]:
    """Interval of the mean of one part, or of the first part's less the second's (same prompts in the same order)."""
    mean = parts[0].mean - (parts[1].mean if len(parts) > 1 else 0.0)
    influence = _influence(parts)
    num, error = len(influence), _standard_error(influence)
    if error <= 1e-12 * max(scale, abs(mean)):
        unseen = (1 - 0.05 ** (1 / num)) * scale
        return mean - unseen, mean + unseen
    t = _student_quantile(num - 1)
    if num < _SMALLEST_BOOTSTRAP:
        return mean - t * error, mean + t * error
    means, errors = _resample(parts, seed=seed, resamples=resamples)
    usable = errors > 1e-3 * error
    if len(parts) > 1 or np.mean(usable) < 0.99:
        tail = _NORMAL.cdf(-math.sqrt(num / (num - 1)) * t)
        low, high = np.quantile(means, [tail, 1 - tail])
    else:
        turned = np.quantile((means[usable] - mean) / errors[usable], [0.025, 0.975])
        low, high = mean - turned[1] * error, mean - turned[0] * error
    return min(mean, float(low)), max(mean, float(high))


def _resample(parts: Sequence[PerPrompt], *, seed: int, resamples: int) -> tuple[Floats, Floats]:
    """The statistic in each resample of whole prompts, and the first part's standard error there.

    A resample is how often each prompt was drawn, so that all sums are matrix products.
    """
    num = len(parts[0])
    rng = np.random.default_rng(seed)
    at_once = max(1, _ELEMENTS_AT_ONCE // num)
    means, errors = [], []
    for start in range(0, resamples, at_once):
        many = min(at_once, resamples - start)
        drawn = rng.integers(0, num, size=(many, num)) + num * np.arange(many)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=many * num).reshape(many, num).astype(np.float64)
        sums = [(counts @ part.totals, counts @ part.sizes) for part in parts]
        ratios = [totals / sizes for totals, sizes in sums]
        means.append(ratios[0] if len(ratios) == 1 else ratios[0] - ratios[1])
        # Sum over drawn prompts of (total - ratio * size)^2, multiplied out; its mean pull is 0 by construction.
        first, ratio = parts[0], ratios[0]
        squares = counts @ first.totals**2 - 2 * ratio * (counts @ (first.totals * first.sizes))
        squares += ratio**2 * (counts @ first.sizes**2)
        mean_size = sums[0][1] / num
        errors.append(np.sqrt(np.maximum(squares, 0.0) / (num - 1) / num) / mean_size)
    return np.concatenate(means), np.concatenate(errors)


def _sign_flip_p(left: PerPrompt, right: PerPrompt, *, seed: int, resamples: int) -> float:
    """Two-sided p-value when the two models' results are swapped prompt by prompt at random.

    Exact under "both models are the same", whatever the distribution; enumerated when few prompts differ.
    """
    same = (left.totals == right.totals) & (left.sizes == right.sizes)
    movable = np.flatnonzero(~same)
    if not len(movable):
        return 1.0
    flips: Floats
    if len(movable) <= 10:
        bits = np.arange(2 ** len(movable))[:, None] >> np.arange(len(movable))
        flips = (bits & 1).astype(np.float64)
    else:
        flips = np.random.default_rng(seed).integers(0, 2, size=(resamples, len(movable))).astype(np.float64)
    gap_totals, gap_sizes = (right.totals - left.totals)[movable], (right.sizes - left.sizes)[movable]
    moved_totals, moved_sizes = flips @ gap_totals, flips @ gap_sizes
    swapped = (left.totals.sum() + moved_totals) / (left.sizes.sum() + moved_sizes) - (
        right.totals.sum() - moved_totals
    ) / (right.sizes.sum() - moved_sizes)
    observed = abs(left.mean - right.mean)
    at_least = int(np.count_nonzero(np.abs(swapped) >= observed * (1 - 1e-9) - 1e-15))
    if len(movable) <= 10:
        return at_least / len(flips)
    return (at_least + 1) / (len(flips) + 1)


@lru_cache(maxsize=4096)
def _student_quantile(degrees: int) -> float:
    """The 97.5 % quantile of Student's t, from P(|T| < sqrt(v) tan a) = integral of cos^(v-1) over 0..a, normalised."""
    angles = np.linspace(0.0, math.pi / 2, 40_001)
    density = np.cos(angles) ** (degrees - 1)
    area = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    angle = float(np.interp(0.95, area / area[-1], angles))
    return math.sqrt(degrees) * math.tan(angle)
