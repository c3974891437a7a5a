"""`opd demo`: the studio and the bundled distillation in it, followed in the terminal.

The run is an ordinary one: started like any other, found by the studio, kept in the data folder. What is printed at
the end is read from its events.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console

from opd.cli.progress import RunDisplay
from opd.demo.settings import demo_config
from opd.end_request import EndRequest
from opd.errors import EXIT_FAILED, BusyError
from opd.events import RunSummary, StoredEvent, fold
from opd.jobs import Jobs
from opd.keys import Keys
from opd.main import StudioServer
from opd.store.files import data_dir
from opd.store.runs import ACTIVE, RunFolder, RunStore

_POLL_S = 0.1


def run_demo(*, seed: int = 0, keep_open: bool | None = None, port: int | None = None) -> int:
    """Start the studio and the demo, show its progress, end with the verdict.

    The last line on standard output is one JSON object with the measured figures; everything else goes to standard
    error.

    Args:
        keep_open: keep the studio until Ctrl-C. None: only where there is a terminal.

    Returns:
        0 when the run ended well, else 1.
    """
    console, begun = Console(stderr=True, highlight=False), time.monotonic()
    root, stay = data_dir(), sys.stdin.isatty() and sys.stdout.isatty() if keep_open is None else keep_open
    try:
        studio: StudioServer | None = StudioServer(root, port=port)
        with studio or nullcontext():
            return _follow_demo(root, studio, console, begun, seed, stay)
    except BusyError as busy:
        if "url" not in busy.details:
            raise
        # a studio is open already: it shows this run as well
        console.print(f"The studio is open at {busy.details['url']}")
        return _follow_demo(root, None, console, begun, seed, stay=False)


def _follow_demo(root: Path, studio: StudioServer | None, console: Console, begun: float, seed: int, stay: bool) -> int:
    store = RunStore(root)
    run = Jobs(store, Keys(root)).start(demo_config(seed=seed))
    if studio:
        console.print(f"Watch it live: [bold]{studio.new_url()}[/]", soft_wrap=True)
    summary = RunSummary()
    with RunDisplay() as display:
        for stored in follow(run):
            summary = fold([stored], summary)
            display.show(stored.event)
    result = demo_result(run, summary, time.monotonic() - begun)
    print(json.dumps(result), flush=True)
    if stay and studio:
        console.print(f"The studio stays open at {studio.url} until you press Ctrl-C.")
        with EndRequest() as end:
            studio.wait(end)
    return 0 if run.state() == "done" else EXIT_FAILED


def follow(run: RunFolder) -> Iterator[StoredEvent]:
    """A run's events from its first to its last, as they come; ends when the run's process has ended."""
    seq, reader = 0, None
    try:
        while True:
            alive = run.state() in ACTIVE or run.state() == "queued"
            if reader is None and run.events_path.exists():
                reader = run.reader()
            for stored in reader.read(seq) if reader else []:
                seq = stored.seq
                yield stored
            if not alive:
                return
            time.sleep(_POLL_S)
    finally:
        if reader is not None:
            reader.close()


def demo_result(run: RunFolder, summary: RunSummary, seconds: float) -> dict[str, Any]:
    """The figures of the demo's last line, from the run's own measurements; null where something was not measured."""

    def figure(subject: str, metric: str) -> float | None:
        evaluation = summary.evaluations.get(subject)
        found = evaluation.metrics.get(metric) if evaluation else None
        return round(found.mean, 4) if found else None

    subjects = ("before", "sft", "after")
    return {
        "run_id": run.run_id,
        "state": run.state(),
        "seconds": round(seconds, 1),
        "exact_match": {name: figure(name, "exact_match") for name in subjects},
        "reverse_kl": {name: figure(name, "reverse_kl") for name in subjects},
        "teacher_exact_match": figure("teacher", "exact_match"),
        "num_prompts": summary.started.num_prompts if summary.started else None,
        "num_test_prompts": summary.started.num_test_prompts if summary.started else None,
        "verdict": summary.verdict.conclusion if summary.verdict else None,
    }
