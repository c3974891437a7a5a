"""What one optimizer step of ours has to cost on this device at least, and how near we come.

In: a `Workload`, and the time of each phase. Out: floating-point operations and bytes of each phase, counted from the
configuration; the time they need at the measured rate of matrix products and the measured memory bandwidth, whichever
is longer; our share of that.

Counted is what the mathematics needs of the algorithm as it is: prompts are read once to write and once to score; of
the last layer only what the scored positions need; logits at completion positions only. Element-wise work is not
counted, so a share of 100 % is out of reach.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from opd.bench.workloads import Shape, Workload
from opd.objectives.linear import product_with

_PROBE_S = 1.0
_ADAM_PASSES = 10  # norm and clip: 3 over the gradient; update: reads 4, writes 3


@dataclass(frozen=True)
class DeviceRates:
    """What the device can do, measured here and now."""

    gflops: float
    """10⁹ floating-point operations a second in a large matrix product."""
    gbytes_per_s: float
    """10⁹ bytes a second, read and written, when copying memory far larger than any cache."""


@dataclass(frozen=True)
class Floor:
    """One phase: what it needs, the time that takes at the device's rates, the time it took."""

    phase: str
    gflop: float
    gbytes: float
    floor_s: float
    measured_s: float

    @property
    def share(self) -> float:
        return self.floor_s / self.measured_s if self.measured_s else 0.0


@dataclass(frozen=True)
class Roofline:
    """All phases; `forward_backward_share` is that of teacher, student, loss and backward together."""

    rates: DeviceRates
    phases: tuple[Floor, ...]
    forward_backward_share: float
    step_share: float


def measure_rates(device: torch.device, threads: int) -> DeviceRates:
    """Best rates over about a second each, in the format that training computes in, with this many CPU threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return _measure(device)
    finally:
        torch.set_num_threads(before)


def _measure(device: torch.device) -> DeviceRates:
    on_gpu = device.type == "cuda"
    dtype = torch.bfloat16 if on_gpu and torch.cuda.is_bf16_supported() else torch.float32
    size = 8192 if on_gpu else 2048
    a = torch.randn(size, size, device=device, dtype=dtype)
    b = torch.randn(size, size, device=device, dtype=dtype)
    product, out = product_with(b), torch.empty_like(a)
    seconds = min(_best(lambda: torch.mm(a, b, out=out), device), _best(lambda: product(a), device))
    source = torch.zeros(32_000_000, device=device)
    target = torch.empty_like(source)
    copied = 2 * source.numel() * source.element_size()
    return DeviceRates(
        gflops=2 * size**3 / seconds / 1e9,
        gbytes_per_s=copied / _best(lambda: target.copy_(source), device) / 1e9,
    )


def roofline(workload: Workload, rates: DeviceRates, measured: Mapping[str, float], *, on_gpu: bool) -> Roofline:
    """Floors of the phases of one step.

    Args:
        measured: seconds of each phase, and of the whole step as "step".
        on_gpu: weights and logits are read in two bytes a number instead of four.
    """
    work, number_bytes = _work(workload), 2 if on_gpu else 4
    floors = []
    for phase, parts in work.items():
        seconds = sum(max(flop / rates.gflops / 1e9, n * number_bytes / rates.gbytes_per_s / 1e9) for flop, n in parts)
        flop, numbers = (sum(part[i] for part in parts) for i in (0, 1))
        floors.append(Floor(phase, flop / 1e9, numbers * number_bytes / 1e9, seconds, measured[phase]))
    core = [f for f in floors if f.phase not in ("rollout", "optimizer")]
    return Roofline(
        rates,
        tuple(floors),
        forward_backward_share=sum(f.floor_s for f in core) / sum(f.measured_s for f in core),
        step_share=sum(f.floor_s for f in floors) / measured["step"],
    )


def _work(w: Workload) -> dict[str, list[tuple[float, float]]]:
    """(operations, numbers moved) of each phase's parts; a part is bound by one of the two."""
    completions, tokens = w.completion_tokens_per_step, sum(w.prompt_lengths) + w.completion_tokens_per_step
    student_head, teacher_head = w.vocabulary * w.student.width, w.vocabulary * w.teacher.width
    prefill = 2.0 * w.student.body_weights * sum(w.prompt_lengths) + _attention(w.student, w.prompt_lengths)
    steps = w.completion_tokens - 1
    weights = w.student.body_weights + student_head
    mean_length = sum(w.prompt_lengths) / w.rows + w.completion_tokens / 2
    cache = 2.0 * w.student.layers * w.student.kv_heads * w.student.head_width * mean_length * w.rows
    forward = _scoring(w.student, w, tokens)
    heads = 2.0 * completions * (student_head + teacher_head)
    gradients = 2 * 2.0 * completions * student_head
    return {
        "rollout": [
            (prefill + 2.0 * w.rows * student_head, w.student.body_weights),
            (steps * 2.0 * w.rows * weights, steps * (weights + cache)),
        ],
        "teacher": [(_scoring(w.teacher, w, tokens), w.teacher.body_weights)],
        "student": [(forward, w.student.body_weights)],
        "loss": [(heads + gradients, student_head + teacher_head)],
        "backward": [(2 * forward, 2.0 * w.student.body_weights)],
        "optimizer": [(0.0, _ADAM_PASSES * float(weights))],
    }


def _scoring(shape: Shape, w: Workload, tokens: int) -> float:
    """Operations of the layers over prompts and completions, up to the hidden states at the scored positions."""
    keys_values = 2 * shape.width * shape.head_width * shape.kv_heads
    last = 2.0 * (keys_values * tokens + (shape.layer_weights - keys_values) * w.completion_tokens_per_step)
    body = 2.0 * (shape.layers - 1) * shape.layer_weights * tokens
    return body + last + _attention(shape, [n + w.completion_tokens for n in w.prompt_lengths])


def _attention(shape: Shape, lengths: list[int]) -> float:
    """Operations of causal attention: two products over half of the square."""
    return sum(2.0 * shape.layers * shape.heads * shape.head_width * n * n for n in lengths)


def _best(function: Callable[[], object], device: torch.device) -> float:
    """Shortest time of one call."""
    best, end = float("inf"), time.perf_counter() + _PROBE_S
    while time.perf_counter() < end:
        begun = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begun)
    return best
