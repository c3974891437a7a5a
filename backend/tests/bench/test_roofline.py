"""Counted operations against PyTorch's own counter on real models, and floors by hand."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from opd.bench.roofline import DeviceRates, measure_rates, roofline
from opd.bench.workloads import Workload, make_model
from opd.training.models import backbone_of

WORKLOAD = Workload.model_validate(
    {
        "student": {"width": 16, "layers": 3, "mlp_width": 40, "heads": 4, "kv_heads": 2, "head_width": 8},
        "teacher": {"width": 24, "layers": 2, "mlp_width": 32, "heads": 2, "kv_heads": 2, "head_width": 8},
        "vocabulary": 64,
        "prompt_tokens": [6, 6],
        "completion_tokens": 4,
        "rows": 4,
    }
)
PHASES = ("rollout", "teacher", "student", "loss", "backward", "optimizer")


def counted(workload: Workload) -> dict[str, float]:
    """GFLOP of each phase."""
    measured = dict.fromkeys([*PHASES, "step"], 1.0)
    return {f.phase: f.gflop for f in roofline(workload, DeviceRates(1.0, 1.0), measured, on_gpu=False).phases}


@pytest.mark.parametrize("who", ["student", "teacher"])
def test_products_of_the_layers_are_what_pytorch_counts(who: str) -> None:
    shape = getattr(WORKLOAD, who)
    backbone = backbone_of(make_model(shape, 64, 0))
    ids = torch.ones(4, 10, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        backbone(input_ids=ids, use_cache=False)
    by_operation = counter.get_flop_counts()["Global"]
    products = sum(n for operation, n in by_operation.items() if "attention" not in str(operation))
    assert products == 2 * shape.body_weights * ids.numel()
    # ours: the last layer's query, output and feed-forward at the four scored positions of ten alone
    kept = 2 * shape.width * shape.kv_heads * shape.head_width
    skipped = 2 * (shape.layer_weights - kept) * 4 * 6
    attention = 2 * shape.layers * shape.heads * shape.head_width * 10**2 * 4
    assert counted(WORKLOAD)[who] * 1e9 == pytest.approx(products - skipped + attention)


def test_heads_and_backward_by_hand() -> None:
    work = counted(WORKLOAD)
    scored, student, teacher = 16, 64 * 16, 64 * 24
    assert work["loss"] * 1e9 == pytest.approx(2 * scored * (3 * student + teacher))
    assert work["backward"] == pytest.approx(2 * work["student"])


def test_the_slower_of_arithmetic_and_memory_is_the_floor() -> None:
    measured = dict.fromkeys([*PHASES, "step"], 2.0)
    fast_memory = roofline(WORKLOAD, DeviceRates(1.0, 1e9), measured, on_gpu=False)
    assert [f.floor_s for f in fast_memory.phases[:-1]] == pytest.approx([f.gflop for f in fast_memory.phases[:-1]])
    fast_arithmetic = roofline(WORKLOAD, DeviceRates(1e9, 1.0), measured, on_gpu=False)
    assert [f.floor_s for f in fast_arithmetic.phases] == pytest.approx([f.gbytes for f in fast_arithmetic.phases])
    shares = [f.share for f in fast_memory.phases[1:5]]
    assert fast_memory.forward_backward_share == pytest.approx(sum(shares) / 4)
    halved = roofline(WORKLOAD, DeviceRates(1e9, 1.0), measured, on_gpu=True)
    assert halved.phases[0].gbytes == pytest.approx(fast_arithmetic.phases[0].gbytes / 2)


def test_the_device_can_do_something() -> None:
    rates = measure_rates(torch.device("cpu"), 1)
    assert rates.gflops > 0
    assert rates.gbytes_per_s > 0
