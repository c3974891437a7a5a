"""`opd train`: a run in this process, in a folder that the studio finds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opd.cli.accepting import AcceptOption, accepted_here
from opd.cli.folders import find_run, open_jobs, open_store
from opd.cli.output import JsonOption, emit_json, say
from opd.errors import BusyError, InputError

if TYPE_CHECKING:
    from opd.jobs import Jobs
    from opd.store.runs import RunFolder, RunStore

_LOOK_EVERY_S = 1.0


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("train")(train)


def train(
    config: Annotated[
        Path | None, typer.Argument(metavar="CONFIG.yaml", help="Run configuration.", show_default=False)
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with this run instead (id, its first letters, or latest).")
    ] = None,
    accept: AcceptOption = None,
    wait: Annotated[
        bool,
        typer.Option("--wait", metavar="", help="Where another run is on the device, wait until that has ended."),
    ] = False,
    json: JsonOption = False,
) -> int:
    """Train a student as a configuration says, here and now. A studio of the same data folder shows it live.

    Ctrl-C saves a checkpoint and ends with exit code 130; `opd train --resume latest` goes on from it.
    Exit codes: 0 done, 1 failed, 2 unusable input, 3 the device is taken, 130 stopped and saved.
    """
    store = open_store()
    take = partial(_folder, open_jobs(store), store, config, resume, accept or [])
    folder = _when_free(take) if wait else take()
    say(f"Run {folder.run_id} in {folder.path}")
    code = _run(folder, store)
    if json:
        emit_json({"exit_code": code, **outcome(folder)})
    return code


def _when_free(take: Callable[[], RunFolder]) -> RunFolder:
    """The run's folder as soon as its device is free; Ctrl-C ends the wait."""
    said = ""
    while True:
        try:
            return take()
        except BusyError as error:
            if error.message != said:
                said = error.message
                say(f"{said} Waiting until that has ended …")
            time.sleep(_LOOK_EVERY_S)


def _folder(jobs: Jobs, store: RunStore, config: Path | None, resume: str | None, accepted: list[str]) -> RunFolder:
    from opd.config import load_config

    if (config is None) == (resume is None):
        raise InputError("Give either a CONFIG.yaml or --resume RUN.", hint="See examples/local.yaml.")
    if config is not None:
        settings = load_config(config)
        return jobs.claim(settings, acknowledged=accepted_here(settings, accepted))
    return jobs.reclaim(find_run(store, resume or "").run_id)


def _run(folder: RunFolder, store: RunStore) -> int:
    # Before any library is imported: what `python -m opd.pipeline` sets for itself.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from opd.cli.progress import RunDisplay
    from opd.jobs import needed_keys
    from opd.keys import Keys
    from opd.pipeline.run import run_folder

    keys = Keys(store.root).collect(needed_keys(folder.config()))
    with RunDisplay() as display:
        return run_folder(folder, keys=keys, observe=display.show, take_signals=True)


def outcome(folder: RunFolder) -> dict[str, Any]:
    """How a run ended, for machines: state, failure, measurements, verdict."""
    summary = folder.summary()
    failure = folder.failure()
    started, updated = summary.started_time, summary.updated_time
    return {
        "run_id": folder.run_id,
        "path": str(folder.path),
        "state": folder.state(),
        "step": summary.step,
        "seconds": round(updated - started, 3) if started and updated else None,
        "failure": failure.model_dump() if failure else None,
        "evaluations": {
            subject: {name: found.model_dump() for name, found in evaluation.metrics.items()}
            for subject, evaluation in summary.evaluations.items()
        },
        "verdict": summary.verdict.model_dump() if summary.verdict else None,
    }
