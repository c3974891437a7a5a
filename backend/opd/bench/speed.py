"""Speed and memory of OPDTrainer against TRL's trainers on the same work, and against what the device can do.

In: a workload. Out: a `SpeedReport`. Each contender runs in a process of its own; they take turns step by step, so
that a busy machine slows all of them, and the ratio of two neighbouring steps means something where their times do not.
"""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from opd.bench.contenders import LABELS, NAMES, PHASES, Name
from opd.bench.lineup import Lineup
from opd.bench.report import LossCheck, PhaseFloor, RooflineReport, SpeedReport, SpeedRow, Spread, render_markdown
from opd.bench.roofline import DeviceRates, measure_rates, roofline
from opd.bench.worker import Check, Step
from opd.bench.workloads import Workload, find_workload
from opd.errors import ConfigError, RunFailedError
from opd.machine import find_device, num_cores, package_versions

__all__ = ["SpeedReport", "render_markdown", "run_speed_bench"]

Progress = Callable[[int, int, str], None]
"""Called with the number of steps done, of all steps, and what comes next."""
_WARM_UP = 1  # the first step builds the optimizer and reads everything for the first time
_TOLERANCE = {"cpu": 1e-5, "cuda": 2e-2, "mps": 1e-3}  # relative; bfloat16 on GPUs


def run_speed_bench(
    config: str | Path = "realistic",
    *,
    steps: int = 5,
    threads: int | None = None,
    progress: Progress | None = None,
) -> SpeedReport:
    """Measure.

    Args:
        config: toy, realistic, long-prompt, gpu, or the path of a YAML file with the fields of `Workload`.
        steps: measured optimizer steps of each contender, after one to warm up.
        threads: CPU threads of each contender. None: the physical cores.

    Raises:
        ConfigError: no such workload, no step to measure, or it needs a GPU and there is none.
        RunFailedError: a contender failed, or they do not compute the same.
    """
    workload = find_workload(config)
    if steps < 1:
        raise ConfigError(f"steps is {steps}, expected at least 1.", hint="Five are enough on a quiet machine.")
    device = torch.device(find_device().kind)
    if workload.name == "gpu" and device.type != "cuda":
        raise ConfigError("The gpu workload needs a CUDA GPU, and PyTorch sees none.", hint="Take --config realistic.")
    num_threads = threads or num_cores()
    environment = _environment(device, num_threads)
    rates = [measure_rates(device, num_threads)]
    checks, measured = _measure(workload, NAMES, device, num_threads, steps, progress)
    rates.append(measure_rates(device, num_threads))  # the better one counts: others may be at work on this machine
    check = _compare(checks, _TOLERANCE[device.type])
    rows = [_row(name, measured[name], workload) for name in NAMES]
    # the device's best against our best: what others do to this machine meanwhile is in neither
    steps_of_ours = measured["opd"]
    ours = {phase: min(step.phases[phase] for step in steps_of_ours) for phase in PHASES}
    ours["step"] = min(step.seconds for step in steps_of_ours)
    best = DeviceRates(max(r.gflops for r in rates), max(r.gbytes_per_s for r in rates))
    roof = roofline(workload, best, ours, on_gpu=device.type == "cuda")
    return SpeedReport(
        workload=workload.model_dump(mode="json"),
        environment=environment,
        steps=steps,
        rows=rows,
        ratios={
            "speed_vs_gold": _ratio(measured["gold"], measured["opd"], lambda step: step.seconds),
            "speed_vs_distillation": _ratio(measured["distillation"], measured["opd"], lambda step: step.seconds),
            "memory_vs_gold": _ratio(measured["opd"], measured["gold"], lambda step: step.peak_bytes),
        },
        loss_check=check,
        roofline=RooflineReport(
            **asdict(best),
            phases=[PhaseFloor(**asdict(f), share=f.share) for f in roof.phases],
            forward_backward_share=roof.forward_backward_share,
            step_share=roof.step_share,
        ),
    )


def measure_alone(workload: Workload, *, steps: int, threads: int, device: str = "cpu") -> SpeedRow:
    """Ours without opponents, for growth curves."""
    measured = _measure(workload, ("opd",), torch.device(device), threads, steps, None)[1]
    return _row("opd", measured["opd"], workload)


def _measure(
    workload: Workload,
    names: Sequence[Name],
    device: torch.device,
    threads: int,
    steps: int,
    progress: Progress | None,
) -> tuple[dict[str, Check], dict[Name, list[Step]]]:
    tell = progress or (lambda done, total, text: None)
    tell(0, steps, "loading the contenders")
    measured: dict[Name, list[Step]] = {name: [] for name in names}
    with (
        tempfile.TemporaryDirectory(prefix="opd-bench-") as scratch,
        Lineup(
            {name: (name, workload) for name in names}, device=device.type, threads=threads, scratch=Path(scratch)
        ) as lineup,
    ):
        tell(0, steps, "warming up")
        for number, results in enumerate(lineup.rounds(), start=1 - _WARM_UP):
            if number >= 1:
                for name in names:
                    measured[name].append(results[name])
                tell(number, steps, "measuring")
            if number == steps:
                break
        return lineup.checks, measured


def _compare(checks: Mapping[str, Check], tolerance: float) -> LossCheck:
    ours = checks["opd"]
    difference = max(
        max(abs(other.loss / ours.loss - 1), abs(other.grad_norm / ours.grad_norm - 1)) for other in checks.values()
    )
    check = LossCheck(
        losses={name: check.loss for name, check in checks.items()},
        grad_norms={name: check.grad_norm for name, check in checks.items()},
        relative_difference=difference,
    )
    if not difference <= tolerance:
        raise RunFailedError(
            f"On the same rows the contenders' losses or gradients differ by {difference:.1e}, expected at most "
            f"{tolerance:.0e}: they do not do the same work.",
            hint="Please report this with the versions of torch, transformers and trl.",
            details=asdict(check),
        )
    return check


def _row(name: Name, steps: Sequence[Step], workload: Workload) -> SpeedRow:
    seconds = Spread.of([step.seconds for step in steps])
    return SpeedRow(
        name=name,
        label=LABELS[name],
        seconds_per_step=seconds,
        tokens_per_s=workload.completion_tokens_per_step / seconds.median,
        peak_memory_bytes=max(step.peak_bytes for step in steps),
        phases_s={phase: statistics.median(step.phases[phase] for step in steps) for phase in PHASES},
    )


def _ratio(over: Sequence[Step], under: Sequence[Step], figure: Callable[[Step], float]) -> Spread:
    return Spread.of([figure(a) / figure(b) for a, b in zip(over, under, strict=True)])


def _environment(device: torch.device, threads: int) -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else _processor(),
        "device_type": device.type,
        "cores": num_cores(),
        "threads": threads,
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version for name, version in package_versions() if name in _PACKAGES},
    }


_PACKAGES = ("torch", "transformers", "trl", "accelerate")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
