"""What a mixed and an accumulated step of ours cost beside a plain one: `opd bench steps`.

In: a workload. Out: seconds, rollout and memory of the same step written wholly by the student, half and not at all,
and scored as a whole or in micro-batches; taking turns, so that a busy machine slows all of them. A second generation,
or a buffer of more than a window, would show.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from opd.bench.lineup import Lineup
from opd.bench.report import Spread
from opd.bench.workloads import Workload, find_workload
from opd.machine import find_device, num_cores

PLAIN = "lambda 1"


@dataclass(frozen=True)
class StepCost:
    """One kind of step. `of_plain`: its time over that of the plain step beside it."""

    label: str
    on_policy_tokens: int
    micro_batches: int
    seconds: Spread
    rollout_s: float
    peak_memory_bytes: int
    of_plain: Spread


def measure_steps(config: str | Path = "realistic", *, steps: int = 5, threads: int | None = None) -> list[StepCost]:
    """Measure; the first row is the plain step.

    Args:
        config: as of `run_speed_bench`.
        steps: measured steps of each kind, after one to warm up.
    """
    kinds = _kinds(find_workload(config))
    measured: dict[str, list[Any]] = {label: [] for label in kinds}
    with (
        tempfile.TemporaryDirectory(prefix="opd-bench-") as scratch,
        Lineup(
            {label: ("opd", workload) for label, workload in kinds.items()},
            device=torch.device(find_device().kind).type,
            threads=threads or num_cores(),
            scratch=Path(scratch),
        ) as lineup,
    ):
        for number, results in enumerate(lineup.rounds()):
            for label, step in results.items() if number else ():
                measured[label].append(step)
            if number == steps:
                break
    return [_cost(label, workload, measured) for label, workload in kinds.items()]


def _kinds(workload: Workload) -> dict[str, Workload]:
    changes: dict[str, dict[str, Any]] = {
        PLAIN: {},
        "lambda 0.5": {"on_policy_fraction": 0.5},
        "lambda 0": {"on_policy_fraction": 0.0},
        "lambda 1, in 2 micro-batches": {"micro_batch_rows": -(-workload.rows // 2)},
        "lambda 1, in 4 micro-batches": {"micro_batch_rows": -(-workload.rows // 4)},
    }
    return {label: workload.model_copy(update=change) for label, change in changes.items()}


def _cost(label: str, workload: Workload, measured: Mapping[str, list[Any]]) -> StepCost:
    steps = measured[label]
    return StepCost(
        label=label,
        on_policy_tokens=round(workload.on_policy_fraction * workload.completion_tokens_per_step),
        micro_batches=-(-workload.rows // (workload.micro_batch_rows or workload.rows)),
        seconds=Spread.of([step.seconds for step in steps]),
        rollout_s=statistics.median(step.phases["rollout"] for step in steps),
        peak_memory_bytes=max(step.peak_bytes for step in steps),
        of_plain=Spread.of([a.seconds / b.seconds for a, b in zip(steps, measured[PLAIN], strict=True)]),
    )


def as_document(costs: list[StepCost]) -> dict[str, Any]:
    """As JSON."""
    return {"rows": [asdict(cost) for cost in costs]}


def render_steps(costs: list[StepCost]) -> str:
    """As a Markdown table."""
    lines = [
        "| step | tokens it writes | s/step, median (min–max) | of them rollout | peak memory | of the plain step |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    for cost in costs:
        s, share = cost.seconds, cost.of_plain
        memory = f"{cost.peak_memory_bytes / 2**20:,.0f} MiB"
        lines.append(
            f"| {cost.label} | {cost.on_policy_tokens:,} | {s.median:.3g} ({s.min:.3g}–{s.max:.3g}) | "
            f"{cost.rollout_s:.3g} | {memory} | {share.median:.2f} ({share.min:.2f}–{share.max:.2f}) |"
        )
    return "\n".join(lines)
