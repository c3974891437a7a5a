"""One contender in a process of its own, which takes one optimizer step at a time: `python -m opd.bench.worker`.

In, on standard input: a line of JSON that says what to build, then one line a step. Out, on standard output: one line
of JSON for the check of its loss, and one for every step. Between two steps it waits, so that contenders which take
turns meet the same moments of the machine; a process of its own makes its peak memory its own as well.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO


@dataclass(frozen=True)
class Check:
    """What the contender makes of the rows that all are given."""

    loss: float
    grad_norm: float


@dataclass(frozen=True)
class Step:
    """One optimizer step. `optimizer` is all that no other phase holds: data, clipping, update, logging."""

    seconds: float
    phases: dict[str, float]
    peak_bytes: int
    """Highest memory of the process so far; on a GPU, of the device's memory."""


def main() -> None:
    """Serve the process that started this one."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not get between the replies
    job = json.loads(sys.stdin.readline())
    serve(job, (line for line in sys.stdin), replies)


def serve(job: dict[str, Any], commands: Iterator[str], replies: TextIO) -> None:
    """Build the contender, check its loss, then one optimizer step for every command."""
    import torch

    from opd.bench.contenders import forced_rows, make_contender
    from opd.bench.workloads import Workload

    torch.set_num_threads(job["threads"])
    workload, device = Workload.model_validate(job["workload"]), torch.device(job["device"])
    rows = forced_rows(workload, device)
    contender = make_contender(job["name"], workload, device, Path(job["scratch"]))

    def send(reply: Check | Step) -> None:
        replies.write(json.dumps(asdict(reply)) + "\n")
        replies.flush()

    loss = contender.gradient_of(rows)
    parameters = list(contender.trainer.model.parameters())
    norm = torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in parameters if p.grad is not None]))
    contender.trainer.model.zero_grad()
    gc.collect()
    send(Check(loss, float(norm)))
    if next(commands, None) is not None:
        contender.trainer.add_callback(_turns(contender, commands, send, peak_memory(device)))
        contender.trainer.train()


def _turns(contender: Any, commands: Iterator[str], send: Callable[[Step], None], peak: Callable[[], int]) -> Any:
    """A callback that reports every step and then waits for the next command."""
    from transformers import TrainerCallback

    from opd.bench.contenders import PHASES

    class Turns(TrainerCallback):
        begun = time.perf_counter()

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            contender.clock.take()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            times = contender.clock.take()
            seconds = time.perf_counter() - self.begun
            phases = {phase: times.get(f"time/{phase}_s", 0.0) for phase in PHASES[:-1]}
            phases["optimizer"] = max(0.0, seconds - sum(phases.values()))
            send(Step(seconds, phases, peak()))
            control.should_training_stop = next(commands, None) is None
            contender.clock.take()
            self.begun = time.perf_counter()
            return control

    return Turns()


def peak_memory(device: Any) -> Callable[[], int]:
    """A function that gives the highest memory so far, in bytes."""
    if device.type == "cuda":
        import torch

        return lambda: int(torch.cuda.max_memory_allocated(device))
    status = Path("/proc/self/status")
    if status.exists():  # unlike ru_maxrss, this does not start from the parent's memory

        def high_water() -> int:
            line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
            return int(line.split()[1]) * 1024

        return high_water
    if sys.platform == "win32":
        import psutil

        return lambda: int(psutil.Process().memory_info().peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main()
