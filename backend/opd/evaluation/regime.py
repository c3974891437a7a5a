"""Few prompts or many: what was measured of each, so that a person can choose the method before paying for it.

In: a configuration and how many prompts it trains on. Out: sentences. The figures are the bundled task's, from
`docs/methods-benchmark.json` (`opd bench methods --only regime`); a test holds the two together. What a run measures of
its own imitation baseline says more than these, and then the verdict says that instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from opd.config import RunConfig
from opd.evaluation.wording import percent


@dataclass(frozen=True)
class Measured:
    """Shares of right answers with so many training prompts, and the teacher's tokens that they took."""

    num_prompts: int
    imitation: float
    on_policy: float
    imitation_tokens: int
    on_policy_tokens: int


FEW = Measured(119, 0.6202, 0.7302, 2_462, 66_198)
MANY = Measured(1_119, 0.8709, 0.9337, 23_093, 66_000)
# Between the measured points, 27 and 3 rounds, in the middle of their logarithms.
_MANY_ROUNDS = 9.0


def regime_words(config: RunConfig, num_prompts: int) -> str | None:
    """Which regime a run is in and what that suggests; None for a run that does not train token by token."""
    if config.objective.needs == "text" or config.on_policy_fraction == 0 or not num_prompts:
        return None
    rounds = config.max_steps * config.batch_size / num_prompts
    times = f"about {rounds:,.0f} times" if rounds >= 1.5 else "once at most" if rounds < 1 else "once"
    seen = f"{num_prompts:,}, each seen {times}"
    if rounds >= _MANY_ROUNDS:
        return (
            f"Few prompts: {seen}. That is where on-policy training pays: on the bundled task with "
            f"{FEW.num_prompts} prompts it got {percent(FEW.on_policy)} right, imitation {percent(FEW.imitation)}."
        )
    return (
        f"Many prompts: {seen}. Here imitation may do: on the bundled task with {MANY.num_prompts:,} prompts it got "
        f"{percent(MANY.imitation)} right for {_part(MANY)} of the teacher's tokens, on-policy training "
        f"{percent(MANY.on_policy)}."
    )


def regime_advice(config: RunConfig, num_prompts: int) -> str | None:
    """The same before a run, with what to do about it."""
    words = regime_words(config, num_prompts)
    if words is None or config.shows_imitation:
        return words
    return f"{words} baseline.enabled shows both on your prompts."


def regime_remarks(config: RunConfig, num_prompts: int) -> list[str]:
    """The same beside a verdict that has no imitation baseline of its own to go by."""
    words = None if config.shows_imitation else regime_words(config, num_prompts)
    return [f"Imitation was not measured in this run. {words}"] if words else []


def _part(measured: Measured) -> str:
    times = round(measured.on_policy_tokens / measured.imitation_tokens)
    return {1: "as many", 2: "half", 3: "a third", 4: "a quarter"}.get(times, f"a {times}th")
