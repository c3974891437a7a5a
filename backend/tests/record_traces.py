"""Records the step metrics of finished runs as the healthy traces that no alarm may answer to.

    python backend/tests/record_traces.py RUN_FOLDER... > backend/tests/evaluation/healthy_traces.json

Only runs that a person has looked at and found healthy belong in there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from opd.store.runs import RunFolder

METRICS = (
    "loss",
    "reverse_kl",
    "entropy",
    "teacher_entropy",
    "completion_tokens/mean",
    "truncated_share",
    "eos_share",
    "grad_norm",
)


def record(run: RunFolder) -> dict[str, list[float | None]]:
    """Each metric by step, to four digits, which is more than any rule looks at."""
    reader = run.reader()
    try:
        buckets = reader.buckets(METRICS, max_points=1_000_000)
    finally:
        reader.close()
    return {
        name: [None if b.mean is None else float(f"{b.mean:.4g}") for b in found] for name, found in buckets.items()
    }


if __name__ == "__main__":
    print("[", ",\n".join(json.dumps(record(RunFolder(Path(folder)))) for folder in sys.argv[1:]), "]", sep="")
