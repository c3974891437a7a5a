"""How time and memory of a step of ours grow with vocabulary, prompt length and batch: `opd bench growth FOLDER`.

Out: `growth.json`, and with matplotlib (the `bench` extra) `growth.png`, drawn from that JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

from opd.bench.speed import Progress, measure_alone
from opd.bench.workloads import WORKLOADS, Workload
from opd.errors import ConfigError
from opd.machine import num_cores

_BASE = WORKLOADS["realistic"].model_copy(update={"name": "growth", "rows": 4, "completion_tokens": 32})
SWEEPS: dict[str, tuple[int, ...]] = {
    "vocabulary": (8_000, 16_000, 32_000, 64_000, 150_000),
    "prompt length": (64, 128, 256, 512, 1024),
    "batch": (1, 4, 8, 16, 32),
}
LARGEST = (150_000, 1024)
"""Vocabulary and prompt length at once: does memory grow with their product?"""


@dataclass(frozen=True)
class GrowthPoint:
    """One measured workload."""

    sweep: str
    value: int
    vocabulary: int
    prompt_tokens: int
    rows: int
    completion_tokens: int
    seconds_per_step: float
    peak_memory_bytes: int


def measure_growth(
    *,
    base: Workload = _BASE,
    sweeps: Mapping[str, Sequence[int]] = MappingProxyType(SWEEPS),
    largest: tuple[int, int] = LARGEST,
    steps: int = 2,
    threads: int | None = None,
    progress: Progress | None = None,
) -> list[GrowthPoint]:
    """One point for each value of each sweep, the other two as in `base`; and one with `largest`, a vocabulary and a
    prompt length at once. Seconds are the fastest of `steps`."""
    wanted: list[tuple[str, int, dict[str, object]]] = [
        (sweep, value, _change(sweep, value)) for sweep, values in sweeps.items() for value in values
    ]
    both = {**_change("vocabulary", largest[0]), **_change("prompt length", largest[1])}
    wanted.append(("vocabulary × prompt length", largest[0] * largest[1], both))
    points = []
    for number, (sweep, value, change) in enumerate(wanted):
        if progress is not None:
            progress(number, len(wanted), f"{sweep} {value:,}")
        workload = base.model_copy(update=change)
        row = measure_alone(workload, steps=steps, threads=threads or num_cores())
        points.append(
            GrowthPoint(
                sweep=sweep,
                value=value,
                vocabulary=workload.vocabulary,
                prompt_tokens=workload.prompt_tokens[1],
                rows=workload.rows,
                completion_tokens=workload.completion_tokens,
                seconds_per_step=row.seconds_per_step.min,
                peak_memory_bytes=row.peak_memory_bytes,
            )
        )
    return points


def _change(sweep: str, value: int) -> dict[str, object]:
    changes: dict[str, dict[str, object]] = {
        "vocabulary": {"vocabulary": value},
        "prompt length": {"prompt_tokens": (value, value)},
        "batch": {"rows": value},
    }
    return changes[sweep]


def draw(points: Sequence[GrowthPoint], path: Path) -> None:
    """Seconds and memory of each sweep as one picture.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError(
            "matplotlib is not installed, so no picture was drawn; the figures are in growth.json.",
            hint='pip install "opd-studio[bench]"',
        ) from None
    sweeps = [sweep for sweep in dict.fromkeys(point.sweep for point in points) if "×" not in sweep]
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots(2, len(sweeps), sharex="col", squeeze=False)
    for column, sweep in enumerate(sweeps):
        mine = [point for point in points if point.sweep == sweep]
        values = [point.value for point in mine]
        figures = {"s/step": [p.seconds_per_step for p in mine], "GiB": [p.peak_memory_bytes / 2**30 for p in mine]}
        for axis, (unit, heights) in zip(axes[:, column], figures.items(), strict=True):
            axis.plot(values, heights, "o-", color="#3b5bdb")
            axis.set_xscale("log", base=2)
            axis.set_xticks(values, [f"{value:,}" for value in values])
            axis.set_ylim(0, max(heights) * 1.15)
            axis.grid(alpha=0.3)
            if column == 0:
                axis.set_ylabel(f"{unit} (peak)" if unit == "GiB" else unit)
        axes[-1, column].set_xlabel(sweep)
    figure.savefig(path, dpi=80)


def write_growth(
    folder: Path, *, steps: int = 2, threads: int | None = None, progress: Progress | None = None
) -> list[GrowthPoint]:
    """Measure, and write `growth.json`."""
    points = measure_growth(steps=steps, threads=threads, progress=progress)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "growth.json").write_text(json.dumps([asdict(point) for point in points], indent=1) + "\n", "utf-8")
    return points


def read_growth(folder: Path) -> list[GrowthPoint]:
    """What `write_growth` has left.

    Raises:
        ConfigError: there is no such file, or it holds something else.
    """
    path = folder / "growth.json"
    try:
        return [GrowthPoint(**point) for point in json.loads(path.read_text("utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{path} cannot be drawn, expected measurements: {error}", hint="Measure first, without --redraw."
        ) from None
