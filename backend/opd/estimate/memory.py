"""Peak memory of a run on its device, by consumer.

Weights, gradients and AdamW's two moments follow from parameter counts. Activations follow Korthikanti et al. 2022
(arXiv 2205.05198, eq. 2) without the attention matrix, which fused attention never stores: 34 · hidden bytes a token
and layer in 16-bit numbers, twice that in 32-bit. The losses' logits are bounded by a fixed chunk.
"""

from __future__ import annotations

from typing import Literal

from opd.config import LocalTeacher, RunConfig
from opd.estimate.lengths import Lengths
from opd.estimate.shapes import MemoryEstimate, MemoryPart
from opd.estimate.sizes import ModelSize
from opd.machine import Device

FULL_BELOW_PARAMETERS = 1_000_000_000
_CHUNK_BYTES = 100 * 2**20
_FRAMEWORK_BYTES = {"cpu": 600 * 2**20, "mps": 800 * 2**20, "cuda": 1200 * 2**20}
_NUMBER_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def trains_adapter(config: RunConfig, student: ModelSize) -> bool:
    """Whether adapters learn instead of all weights: as asked, else from one billion parameters on."""
    training = config.student.training
    return training == "lora" or (training == "auto" and student.num_parameters >= FULL_BELOW_PARAMETERS)


def estimate_memory(
    config: RunConfig, student: ModelSize, teacher: ModelSize | None, lengths: Lengths, device: Device
) -> MemoryEstimate:
    """Peak memory with the longest prompt and the longest completion.

    Args:
        teacher: None where it does not run on this machine.
    """
    adapter = trains_adapter(config, student)
    half_precision = device.kind == "cuda"
    student_bytes = _number_bytes(config.student.dtype, half_precision and adapter)
    learning = _num_adapter_parameters(config, student) if adapter else student.num_parameters
    rows = min(config.micro_batch_size or config.batch_size, config.batch_size)
    tokens = rows * (lengths.longest_prompt + lengths.longest_completion)
    activation_bytes = 34 * (1 if half_precision else 2)
    cached = config.batch_size * (lengths.longest_prompt + lengths.longest_completion)
    parts = {
        "Student weights": student.num_parameters * student_bytes,
        "Gradients": learning * 4,
        "Optimizer (AdamW)": learning * 8,
        "Adapters": learning * 4 if adapter else 0,
        "Activations": tokens * student.hidden_size * student.num_layers * activation_bytes,
        "Logits": min(_CHUNK_BYTES, 6 * 4 * tokens * student.vocab_size),
        "Key-value cache": cached * student.key_value_size * student.num_layers * student_bytes,
        "PyTorch": _FRAMEWORK_BYTES[device.kind],
    }
    if teacher is not None and isinstance(config.teacher, LocalTeacher):
        parts["Teacher weights"] = teacher.num_parameters * _number_bytes(config.teacher.dtype, half_precision)
    total = sum(parts.values())
    named = [MemoryPart(name=name, num_bytes=size) for name, size in parts.items() if size]
    return MemoryEstimate(
        parts=sorted(named, key=lambda part: -part.num_bytes),
        total_bytes=total,
        available_bytes=device.memory_available_bytes,
        fits=total <= device.memory_available_bytes,
        micro_batch_size=rows,
    )


def _number_bytes(dtype: Literal["auto", "float32", "bfloat16", "float16"], half_precision: bool) -> int:
    return _NUMBER_BYTES.get(dtype, 2 if half_precision else 4)


def _num_adapter_parameters(config: RunConfig, student: ModelSize) -> int:
    """Low-rank pairs on all linear layers of a block: about 20 times the width for each unit of rank."""
    return config.student.lora.rank * 20 * student.hidden_size * student.num_layers
