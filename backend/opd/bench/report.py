"""What a speed measurement found: plain facts, as JSON and as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Spread:
    """A figure measured several times."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class SpeedRow:
    """One implementation."""

    name: str
    label: str
    seconds_per_step: Spread
    tokens_per_s: float
    """Completion tokens a second, at the median."""
    peak_memory_bytes: int
    phases_s: dict[str, float]
    """Median seconds of each phase."""


@dataclass(frozen=True)
class LossCheck:
    """What all implementations made of the same rows with the same weights."""

    losses: dict[str, float]
    grad_norms: dict[str, float]
    relative_difference: float
    """Largest relative difference of a loss or gradient norm from ours."""


@dataclass(frozen=True)
class PhaseFloor:
    """A line of the roofline."""

    phase: str
    gflop: float
    gbytes: float
    floor_s: float
    measured_s: float
    share: float


@dataclass(frozen=True)
class RooflineReport:
    """The device's measured rates, each phase's floor, and our share of it; `measured_s` is the fastest step."""

    gflops: float
    gbytes_per_s: float
    phases: list[PhaseFloor]
    forward_backward_share: float
    step_share: float


@dataclass(frozen=True)
class SpeedReport:
    """Everything that `opd bench speed` says."""

    workload: dict[str, Any]
    environment: dict[str, Any]
    steps: int
    rows: list[SpeedRow]
    ratios: dict[str, Spread]
    """speed_vs_gold and speed_vs_distillation: their time over ours, step by step; memory_vs_gold: ours over theirs."""
    loss_check: LossCheck
    roofline: RooflineReport

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def render_markdown(report: SpeedReport) -> str:
    """The report as tables."""
    w, e = report.workload, report.environment
    low, high = w["prompt_tokens"]
    prompt = f"{low}" if low == high else f"{low}–{high}"
    phases = list(report.rows[0].phases_s)
    lines = [
        (
            f"### {w['name']}: {w['rows']} rows a step, prompt {prompt}, completion {w['completion_tokens']}, "
            f"vocabulary {w['vocabulary']:,}, TRL's accumulation {w['accumulation']}"
        ),
        "",
        (
            f"{e['date']} · {e['device']} · {e['threads']} threads · load {e['load']} before the start · "
            f"torch {e['packages']['torch']}, trl {e['packages']['trl']} · {report.steps} alternating steps each"
        ),
        "",
        "| | s/step | completion tokens/s | peak memory | " + " | ".join(phases) + " |",
        "| --- | --: | --: | --: |" + " --: |" * len(phases),
    ]
    for row in report.rows:
        s = row.seconds_per_step
        lines.append(
            f"| {row.label} | {s.median:.3g} ({s.min:.3g}–{s.max:.3g}) | {row.tokens_per_s:,.0f} | "
            f"{row.peak_memory_bytes / 2**20:,.0f} MiB | "
            + " | ".join(f"{row.phases_s[phase]:.3g}" for phase in phases)
            + " |"
        )
    meanings = {
        "speed_vs_gold": "times as fast as GOLDTrainer",
        "speed_vs_distillation": "times as fast as DistillationTrainer",
        "memory_vs_gold": "of GOLDTrainer's peak memory",
    }
    lines += ["", "OPD Studio is, median (min–max over the alternations):", ""]
    lines += [
        f"- **{r.median:.2f}** ({r.min:.2f}–{r.max:.2f}) {meanings[key]} (`{key}`)" for key, r in report.ratios.items()
    ]
    check, roof = report.loss_check, report.roofline
    lines += [
        "",
        f"Same rows, same weights: losses and gradient norms of all differ by {check.relative_difference:.1e} at most.",
        "",
        (
            f"Device: {roof.gflops:,.0f} GFLOP/s in matrix products, {roof.gbytes_per_s:,.1f} GB/s of memory, the "
            "better of two measurements before and after. Against it, the fastest of our steps:"
        ),
        "",
        "| our phase | GFLOP | GB | floor, s | took, s | share |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    lines += [
        f"| {p.phase} | {p.gflop:,.3g} | {p.gbytes:,.3g} | {p.floor_s:.3g} | {p.measured_s:.3g} | {p.share:.0%} |"
        for p in roof.phases
    ]
    lines += [
        "",
        (
            f"Forward and backward (teacher, student, loss, backward): {roof.forward_backward_share:.0%} of the "
            f"floor's rate; the whole step: {roof.step_share:.0%}."
        ),
    ]
    return "\n".join(lines) + "\n"
