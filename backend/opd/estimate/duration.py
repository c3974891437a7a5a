"""Wall clock of a run: measured where this machine has done it before, else reckoned, with a wide range.

Reckoned: writing a token costs the larger of reading all weights once and 2 · parameters operations a row; scoring 2
and learning 6 operations a parameter and token. What a device does in a second is a round figure for its kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from opd.config import RunConfig
from opd.estimate.lengths import Lengths
from opd.estimate.shapes import TimeEstimate
from opd.estimate.sizes import ModelSize
from opd.machine import Device, num_cores
from opd.store.runs import RunFolder, RunStore

STEP_TIME = "time/step_s"
_RUNS_LOOKED_AT = 50
# Settings that change a run's length or its name, not the time of a step.
_NOT_IN_A_STEP = {"name", "max_steps", "warmup_steps", "seed", "budget_usd", "checkpoint", "lr_schedule"}


@dataclass(frozen=True)
class _Speed:
    """Round figures of a kind of device; per core on a CPU."""

    flops: float
    bytes_per_s: float
    layer_overhead_s: float


_SPEEDS = {
    "cpu": _Speed(1.2e10, 6e9, 4e-5),
    "mps": _Speed(3e12, 1.5e11, 1e-4),
    "cuda": _Speed(6e13, 1e12, 1.5e-4),
}
_START_S = {"cpu": 10.0, "mps": 15.0, "cuda": 20.0}


def measured_time(config: RunConfig, store: RunStore) -> TimeEstimate | None:
    """From the newest finished run of the same configuration (length and name aside); None when there is none."""
    for index, run in enumerate(store):
        if index >= _RUNS_LOOKED_AT:
            break
        if run.state() != "done" or _step_settings(run.config()) != _step_settings(config):
            continue
        found = _from_run(config, run)
        if found is not None:
            return found
    return None


def rough_time(
    config: RunConfig, student: ModelSize, teacher: ModelSize | None, lengths: Lengths, device: Device, num_test: int
) -> TimeEstimate:
    """From the size of the models. The range spans a factor of six, because devices of one kind differ that much.

    Args:
        num_test: held-out prompts that the evaluations answer.
    """
    speed = _SPEEDS[device.kind]
    cores = num_cores() if device.kind == "cpu" else 1
    flops, bandwidth = speed.flops * cores, speed.bytes_per_s * min(cores, 4)
    number_bytes = 2 if device.kind == "cuda" else 4

    def write(rows: float) -> float:
        arithmetic = rows * 2 * student.num_parameters / flops
        reading = student.num_parameters * number_bytes / bandwidth
        return lengths.completion * (max(arithmetic, reading) + student.num_layers * speed.layer_overhead_s)

    rows = config.batch_size
    tokens = rows * (lengths.prompt + lengths.completion)
    learn = tokens * 6 * student.num_parameters / flops
    score = tokens * 2 * (teacher.num_parameters if teacher else 0) / flops
    distil = config.max_steps * (write(rows * config.on_policy_fraction) + score + learn)
    imitate = (config.warm_start.steps + (1.5 * config.max_steps if config.baseline.enabled else 0)) * learn
    evaluations = _num_evaluations(config)
    examined = min(num_test, config.evaluation.max_prompts)
    examine = evaluations * (write(examined) if examined else 0.0)
    likely = _START_S[device.kind] + distil + imitate + examine
    return TimeEstimate(low_s=likely * 0.4, likely_s=likely, high_s=likely * 2.5, basis="rough")


def _num_evaluations(config: RunConfig) -> int:
    """Models that answer all held-out prompts: the student before and after, the baseline, earlier checkpoints."""
    if not config.evaluation.enabled:
        return 0
    is_graded = config.data.answer_match != "none"
    earlier = min(config.evaluation.checkpoints, config.checkpoint.keep - 1) if is_graded else 0
    return 2 + config.baseline.enabled + earlier


def _from_run(config: RunConfig, run: RunFolder) -> TimeEstimate | None:
    summary = run.summary()
    with run.reader() as reader:
        buckets = reader.buckets([STEP_TIME], max_points=1)[STEP_TIME]
    if not buckets or not buckets[0].mean or summary.started_time is None or summary.num_resumes:
        return None
    step_s, steps = buckets[0].mean, buckets[0].num
    elapsed = (summary.updated_time or summary.started_time) - summary.started_time
    around = max(0.0, elapsed - step_s * steps)
    likely = step_s * config.max_steps + around
    return TimeEstimate(low_s=likely * 0.8, likely_s=likely, high_s=likely * 1.3, basis="measured")


def _step_settings(config: RunConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", exclude=_NOT_IN_A_STEP)
