"""No memory left in the middle of a run: what took it, what to change, and a resume that takes the change."""

from __future__ import annotations

from pathlib import Path

import yaml

from faults.comparison import model_digest
from faults.harness import Torture
from run_processes import RunProcess


def starve() -> None:
    """What PyTorch's CPU allocator says."""
    raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 10 bytes.")


def test_the_largest_parts_and_the_way_out_are_named_and_taken(tmp_path: Path) -> None:
    torture = Torture(tmp_path)
    run = torture.store.create(torture.config)
    assert RunProcess(run, fault_at="durable", occurrence=2, fault=starve).wait() == 1
    failure = run.failure()
    assert failure is not None
    assert failure.code == "out_of_memory"
    assert "while the student was trained" in failure.message
    assert "By estimate it needs 0.6 GB; the largest parts: PyTorch 0.6 GB, Activations " in failure.message
    assert failure.hint.startswith("In this order: 1. micro_batch_size: 2, with the same result (saves ")
    assert "2. sampling.max_completion_tokens: 3 (saves " in failure.hint
    path = run.path / "config.yaml"
    assert str(path) in failure.hint
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "micro_batch_size": 2}))
    process = RunProcess(run)
    assert process.wait() == 0, process.log()
    assert run.state() == "done"
    assert model_digest(run), "and there is a student"
