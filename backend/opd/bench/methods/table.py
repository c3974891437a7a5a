"""Results of all seeds to a table: means with intervals, JSON, Markdown, a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from opd.bench.methods.catalogue import Row
from opd.bench.methods.trials import Outcome
from opd.errors import ConfigError

_RESAMPLES = 4_000
_INTERVAL = (2.5, 97.5)


@dataclass(frozen=True)
class Line:
    """A row of the table, filled."""

    row: Row
    outcomes: tuple[Outcome, ...]
    """One a seed."""
    mean: float
    low: float
    high: float

    def as_dict(self) -> dict[str, Any]:
        """The row's JSON."""
        divergences = [one.reverse_kl for one in self.outcomes if one.reverse_kl is not None]
        tokens = [one.teacher_tokens for one in self.outcomes if one.teacher_tokens is not None]
        return {
            "method": self.row.name,
            "about": self.row.about,
            "exact_match": {"mean": round(self.mean, 4), "low": round(self.low, 4), "high": round(self.high, 4)},
            "exact_match_by_seed": [round(_share(one), 4) for one in self.outcomes],
            "reverse_kl": round(float(np.mean(divergences)), 4) if divergences else None,
            "teacher_tokens": round(float(np.mean(tokens))) if tokens else None,
            "usd": float(np.mean([one.usd for one in self.outcomes])),
            "seconds": round(float(np.mean([one.seconds for one in self.outcomes])), 1),
            "seeds": len(self.outcomes),
            "scored_share": self.outcomes[0].facts.get("scored_share"),
        }


def fill(row: Row, outcomes: Sequence[Outcome]) -> Line:
    """The row with its interval: seeds and prompts are both drawn again.

    A hierarchical bootstrap: seeds with replacement, prompts with replacement (the same for every seed, since they are
    the same questions). The spread between S seeds is widened by √(S/(S−1)), which is what a bootstrap of few draws
    lacks; a single seed has the prompts' interval only.
    """
    prompts = sorted(outcomes[0].correct)
    right_SP = np.array([[one.correct[prompt] for prompt in prompts] for one in outcomes])
    mean, num_seeds, num_prompts = float(right_SP.mean()), *right_SP.shape
    rng = np.random.default_rng(0)
    of_seed = right_SP.mean(axis=1)
    widen = (num_seeds / (num_seeds - 1)) ** 0.5 if num_seeds > 1 else 1.0
    draws = np.empty(_RESAMPLES)
    of_prompt = right_SP.mean(axis=0)
    for i in range(_RESAMPLES):
        seeds = of_seed[rng.integers(num_seeds, size=num_seeds)].mean() - mean
        draws[i] = mean + widen * seeds + of_prompt[rng.integers(num_prompts, size=num_prompts)].mean() - mean
    low, high = np.clip(np.percentile(draws, _INTERVAL), 0, 1)
    return Line(row, tuple(outcomes), mean, float(low), float(high))


def render_markdown(lines: Sequence[Line]) -> str:
    """The table for people."""
    head = ["Method", "Exact match", "95 % interval", "Reverse KL", "Teacher tokens", "Dollars", "Seconds", "Seeds"]
    body = [_cells(line.as_dict()) for line in lines]
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *body])


def _cells(row: Mapping[str, Any]) -> list[str]:
    match, none = row["exact_match"], "–"
    return [
        f"`{row['method']}` {row['about']}",
        f"{match['mean']:.3f}",
        f"{match['low']:.3f} – {match['high']:.3f}",
        none if row["reverse_kl"] is None else f"{row['reverse_kl']:.3f}",
        none if row["teacher_tokens"] is None else f"{row['teacher_tokens']:,}",
        f"${row['usd']:.4f}" if row["usd"] else "0",
        f"{row['seconds']:.0f}" if row["seconds"] else none,
        str(row["seeds"]),
    ]


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Exact match of every row with its interval.

    Args:
        rows: `Line.as_dict` of each, as in the JSON.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError(
            "matplotlib is not installed, so no picture was drawn; the figures are in the JSON.",
            hint='pip install "opd-studio[bench]"',
        ) from None
    figure = Figure(figsize=(8, 0.42 * len(rows) + 1), layout="constrained")
    axis = figure.subplots()
    for place, row in enumerate(reversed(rows)):
        match = row["exact_match"]
        axis.plot([match["low"], match["high"]], [place, place], color="#0f6e64", linewidth=5, alpha=0.3)
        axis.plot([match["mean"]], [place], "o", color="#0f6e64")
    axis.set_yticks(range(len(rows)), [row["method"].replace("_", " ") for row in reversed(rows)])
    axis.set_xlim(0, 1)
    axis.set_xlabel("exact match on held-out questions; bar: 95 % interval over seeds and questions")
    axis.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=90)


def _share(outcome: Outcome) -> float:
    return sum(outcome.correct.values()) / len(outcome.correct)
