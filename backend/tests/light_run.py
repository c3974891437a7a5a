"""A run's process without a model: what `python -m opd.pipeline RUN_DIR` is to the studio, in a tenth of a second.

A real process on a real run folder: it takes the lock, writes real events, obeys STOP, saves "checkpoints", resumes
from the last one, and ends in the ways a run can end. How it behaves is told by words in the run's name:
    steps=N  rate=STEPS_PER_S  die=SIGNAL_NUMBER  exit=CODE  deaf (ignores STOP)
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from opd.events import (
    PhaseStarted,
    RunEvent,
    RunFailure,
    RunFinished,
    RunResumed,
    RunStarted,
    SampleRecorded,
    StepLogged,
)
from opd.store.files import read_json, write_json
from opd.store.runs import RunFolder


def main(folder: RunFolder) -> int:
    """Run or resume the folder."""
    providers = sorted(json.loads(sys.stdin.readline() or "{}"))
    print(f"given keys of: {providers}", flush=True)
    words = dict(word.partition("=")[::2] for word in folder.config().name.split())
    lock = folder.begin()
    writer = folder.writer()
    done = read_json(folder.path / "light_checkpoint.json") or 0
    num_steps = int(words.get("steps", 5))
    if done:
        writer.append(RunResumed(step=done, exactness="exact", reason="from its checkpoint"))
    else:
        writer.append(
            RunStarted(
                name=folder.config().name, student="s", teacher="t", signal="x", max_steps=num_steps, num_prompts=1,
                num_test_prompts=1,
            ),
            PhaseStarted(phase="distilling", total=num_steps, unit="steps"),
        )  # fmt: skip
    outcome, step = "done", done
    for step in range(done + 1, num_steps + 1):
        writer.append(*_step(step))
        if "die" in words:
            os.kill(os.getpid(), int(words["die"]))
        if "exit" in words:
            os._exit(int(words["exit"]))
        if folder.stop_requested() and "deaf" not in words:
            outcome = "stopped"
            break
        time.sleep(1 / float(words["rate"]) if "rate" in words else 0)
    write_json(folder.path / "light_checkpoint.json", step)
    failed = RunFailure(code="run_failed", message="It was told to fail.") if "fail" in words else None
    writer.append(RunFinished(outcome="failed" if failed else outcome, step=step, error=failed))
    folder.end("failed" if failed else outcome, step=step, error=failed)
    writer.close()
    lock.release()
    return 0


def _step(step: int) -> list[RunEvent]:
    sample = SampleRecorded(step=step, author="student", prompt_id="p", prompt="1+1?", text="two")
    metrics = StepLogged(step=step, metrics={"loss": 1 / step, "reverse_kl": None if step == 2 else 0.5})
    return [metrics, sample] if step % 5 == 0 else [metrics]


if __name__ == "__main__":
    sys.exit(main(RunFolder(Path(sys.argv[1]).resolve())))
