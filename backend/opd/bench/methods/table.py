"""Results of all seeds to rows and differences: means with intervals, as JSON and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opd.bench.methods.catalogue import Comparison, Row
from opd.bench.methods.trials import Outcome

_RESAMPLES = 4_000
_INTERVAL = (2.5, 97.5)
Floats = NDArray[np.float64]


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
            "groups": list(self.row.groups),
            "exact_match": {"mean": round(self.mean, 4), "low": round(self.low, 4), "high": round(self.high, 4)},
            "exact_match_by_seed": [round(_share(one), 4) for one in self.outcomes],
            "reverse_kl": round(float(np.mean(divergences)), 4) if divergences else None,
            "reverse_kl_by_seed": [round(value, 4) for value in divergences],
            "teacher_tokens": round(float(np.mean(tokens))) if tokens else None,
            "usd": float(np.mean([one.usd for one in self.outcomes])),
            "seconds": round(float(np.mean([one.seconds for one in self.outcomes])), 1),
            "seeds": len(self.outcomes),
            "scored_share": self.outcomes[0].facts.get("scored_share"),
        }


def fill(row: Row, outcomes: Sequence[Outcome]) -> Line:
    """The row with the interval of its exact match."""
    mean, low, high = interval(_right(outcomes, sorted(outcomes[0].correct)))
    return Line(row, tuple(outcomes), mean, max(low, 0.0), min(high, 1.0))


def difference(comparison: Comparison, lines: Mapping[str, Line]) -> dict[str, Any]:
    """The JSON of one row less another, question by question and seed by seed."""
    one, other = lines[comparison.row].outcomes, lines[comparison.than].outcomes
    prompts = sorted(one[0].correct)
    gained_SP = _right(one, prompts) - _right(other, prompts)
    mean, low, high = interval(gained_SP)
    return {
        "method": comparison.row,
        "than": comparison.than,
        "about": comparison.about,
        "exact_match": {"mean": round(mean, 4), "low": round(low, 4), "high": round(high, 4)},
        "exact_match_by_seed": [round(float(gain), 4) for gain in gained_SP.mean(axis=1)],
        "seeds": len(one),
    }


def interval(values_SP: Floats) -> tuple[float, float, float]:
    """Mean and 95 % interval of what was measured with S seeds on the same P prompts; both are drawn again.

    A hierarchical bootstrap: seeds with replacement, prompts with replacement (the same for every seed, since they are
    the same questions). The spread between S seeds is widened by √(S/(S−1)), which is what a bootstrap of few draws
    lacks; a single seed has the prompts' interval only.
    """
    mean, num_seeds, num_prompts = float(values_SP.mean()), *values_SP.shape
    rng = np.random.default_rng(0)
    of_seed, of_prompt = values_SP.mean(axis=1), values_SP.mean(axis=0)
    widen = (num_seeds / (num_seeds - 1)) ** 0.5 if num_seeds > 1 else 1.0
    draws = np.empty(_RESAMPLES)
    for i in range(_RESAMPLES):
        seeds = of_seed[rng.integers(num_seeds, size=num_seeds)].mean() - mean
        draws[i] = mean + widen * seeds + of_prompt[rng.integers(num_prompts, size=num_prompts)].mean() - mean
    low, high = np.percentile(draws, _INTERVAL)
    return mean, float(low), float(high)


def render_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows' JSON as a table for people."""
    head = ["Method", "Exact match", "95 % interval", "Reverse KL", "Teacher tokens", "Dollars", "Seconds", "Seeds"]
    return _table(head, [_cells(row) for row in rows])


def render_differences(differences: Sequence[Mapping[str, Any]]) -> str:
    """The differences' JSON as a table for people, in points of exact match."""
    head = ["Question", "Row less row", "Points", "95 % interval", "By seed"]
    body = []
    for found in differences:
        match, by_seed = found["exact_match"], found["exact_match_by_seed"]
        cells = [found["about"], f"`{found['method']}` − `{found['than']}`", f"**{_points(match['mean'])}**"]
        body.append([*cells, f"{_points(match['low'])} to {_points(match['high'])}", ", ".join(map(_points, by_seed))])
    return _table(head, body, num_words=2)


def _table(head: Sequence[str], body: Sequence[Sequence[str]], *, num_words: int = 1) -> str:
    rule = [*["---"] * num_words, *["--:"] * (len(head) - num_words)]
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


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")


def _right(outcomes: Sequence[Outcome], prompts: Sequence[str]) -> Floats:
    """Share of right answers, (seeds, prompts)."""
    return np.array([[one.correct[prompt] for prompt in prompts] for one in outcomes])


def _share(outcome: Outcome) -> float:
    return sum(outcome.correct.values()) / len(outcome.correct)
