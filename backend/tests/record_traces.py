"""Records what the live alarms see of finished runs: the healthy traces that none may answer to.

    for seed in $(seq 0 19); do OPD_DATA_DIR=/tmp/traces opd demo --seed $seed --no-keep-open; done
    python backend/tests/record_traces.py /tmp/traces > backend/tests/evaluation/healthy_traces.json

Every finished run of the folders is recorded, whether an alarm was raised in it or not: what is healthy is said by its
held-out answers and by a person who has read its samples, not by the rules that the traces are there to test.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from opd.events import SampleRecorded
from opd.pipeline.evaluate import Spoken, evaluate_run
from opd.store.runs import RunFolder, RunStore

# Integers of this many parts of a unit: finer than any rule looks at, and small to keep.
PARTS = {
    "reverse_kl": 1000,
    "entropy": 1000,
    "teacher_entropy": 1000,
    "completion_tokens/mean": 10,
    "truncated_share": 1000,
}


def record(run: RunFolder) -> dict[str, Any]:
    """Each metric by step, and the answers to the probe prompts by step.

    Raises:
        ValueError: the run is not like the demo, whose loss is its reverse KL and whose answers end or are cut.
    """
    with run.reader() as reader:
        buckets = reader.buckets((*PARTS, "loss", "eos_share", "grad_norm"), max_points=1_000_000)
        samples = [s.event for s in reader.read_kind("sample_recorded", 10_000) if isinstance(s.event, SampleRecorded)]
    found = {name: [b.mean for b in series if b.mean is not None] for name, series in buckets.items()}
    uncut = [1 - cut for cut in found["truncated_share"]]
    for one, other in ((found["loss"], found["reverse_kl"]), (found["eos_share"], uncut)):
        if len(one) != len(found["grad_norm"]) or any(abs(a - b) > 1e-5 for a, b in zip(one, other, strict=True)):
            raise ValueError(f"{run.run_id} is no run of the demo without a gap.")
    texts: dict[int, list[str]] = {}
    for sample in samples:
        if sample.author == "student" and sample.step:
            texts.setdefault(sample.step, []).append(sample.text)
    return {
        "seed": run.config().seed,
        "right": round(_share_right(run), 3),
        **{name: [round(value * parts) for value in found[name]] for name, parts in PARTS.items()},
        "texts": texts,
    }


def _share_right(run: RunFolder) -> float:
    """Of the held-out questions, after training; measured now where the run did without."""
    after = run.summary().evaluations.get("after") or evaluate_run(run, Spoken(lambda text: None))
    return after.metrics["exact_match"].mean


if __name__ == "__main__":
    runs = [run for folder in sys.argv[1:] for run in RunStore(Path(folder)) if run.state() == "done"]
    lines = [json.dumps(record(run), separators=(",", ":")) for run in sorted(runs, key=lambda run: run.config().seed)]
    print(f'{{"parts":{json.dumps(PARTS)},"runs":[\n', ",\n".join(lines), "\n]}", sep="")
