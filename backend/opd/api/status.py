"""How a run is described on the wire: its derived state and the fold over its events."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from itertools import islice

from opd.api.base import ApiModel
from opd.config import RunConfig
from opd.errors import OPDError
from opd.events import Phase, RunFailure, RunSummary, VerdictReached
from opd.store.runs import ACTIVE, RESUMABLE, RunFolder, RunState

_CACHED_RUNS = 256


class RunStatus(ApiModel):
    """What a run is doing, or how it ended."""

    run_id: str
    name: str
    state: RunState
    """Derived from the folder and the process table at this moment, never stored."""
    created_time: float
    """Unix seconds."""
    resumable: bool
    failure: RunFailure | None
    """Why it failed or was interrupted, where that is known."""
    summary: RunSummary
    eta_s: float | None
    """Seconds to the end of the current phase, where they can be told."""
    seconds_elapsed: float
    """Wall clock since the run first started, until now or until its last event."""


class RunListItem(ApiModel):
    """A run in a list: the status without its long parts."""

    run_id: str
    name: str
    state: RunState
    created_time: float
    tags: list[str]
    """Words that people gave it."""
    resumable: bool
    failure: RunFailure | None
    student: str
    teacher: str
    objective: str
    phase: Phase | None
    step: int
    max_steps: int
    seconds_elapsed: float
    spent_usd: float
    verdict: VerdictReached | None


class Summaries:
    """Summaries of runs, each brought up to date by folding only the events since the last look."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, RunSummary] = OrderedDict()

    def of(self, run: RunFolder) -> RunSummary:
        """The summary of a run as of now."""
        with self._lock:
            known = self._known.pop(run.run_id, None)
        summary = run.summary(known)
        with self._lock:
            self._known[run.run_id] = summary
            while len(self._known) > _CACHED_RUNS:
                self._known.popitem(last=False)
        return summary

    def forget(self, run_id: str) -> None:
        with self._lock:
            self._known.pop(run_id, None)


def run_name(config: RunConfig, summary: RunSummary) -> str:
    """The name people gave, else the one the run gave itself, else one from the models' names."""
    if config.name or summary.started is None:
        return config.name or f"{short_name(config.student.model)} from {short_name(config.teacher.model)}"
    return summary.started.name


def short_name(model: str) -> str:
    """The last part of a model id or folder."""
    return model.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] or model


def describe_run(run: RunFolder, summaries: Summaries) -> RunStatus:
    """Everything about a run's progress. The state is read before the events: a finished run has all of them."""
    state = run.state()
    summary = summaries.of(run)
    return RunStatus(
        run_id=run.run_id,
        name=run_name(run.config(), summary),
        state=state,
        created_time=run.created_time(),
        resumable=state in RESUMABLE,
        failure=run.failure(),
        summary=summary,
        eta_s=_eta_s(summary) if state in ACTIVE else None,
        seconds_elapsed=_seconds_elapsed(summary, state),
    )


def list_items(runs: Iterable[RunFolder], summaries: Summaries, limit: int) -> list[RunListItem]:
    """The first `limit` runs, short. One damaged folder does not hide the others."""
    items = []
    for run in islice(runs, limit):
        try:
            items.append(list_item(run, summaries))
        except OPDError as error:
            items.append(_damaged_item(run, error))
    return items


def list_item(run: RunFolder, summaries: Summaries) -> RunListItem:
    """The same as `describe_run`, short."""
    state, config = run.state(), run.config()
    summary = summaries.of(run)
    return RunListItem(
        run_id=run.run_id,
        name=run_name(config, summary),
        state=state,
        created_time=run.created_time(),
        tags=run.tags(),
        resumable=state in RESUMABLE,
        failure=run.failure(),
        student=config.student.model,
        teacher=config.teacher.model,
        objective=config.objective.type,
        phase=summary.phase,
        step=summary.step,
        max_steps=summary.max_steps or config.max_steps,
        seconds_elapsed=_seconds_elapsed(summary, state),
        spent_usd=summary.money.spent_nano_usd / 1e9 if summary.money else 0.0,
        verdict=summary.verdict,
    )


def _damaged_item(run: RunFolder, error: OPDError) -> RunListItem:
    """A run whose folder cannot be read, so that it is still seen and can be deleted."""
    return RunListItem(
        run_id=run.run_id,
        name=run.run_id,
        state="failed",
        created_time=run.created_time(),
        tags=[],
        resumable=False,
        failure=RunFailure(code=error.code, message=error.message, hint=error.hint),
        student="",
        teacher="",
        objective="",
        phase=None,
        step=0,
        max_steps=0,
        seconds_elapsed=0.0,
        spent_usd=0.0,
        verdict=None,
    )


def _seconds_elapsed(summary: RunSummary, state: RunState) -> float:
    if summary.started_time is None:
        return 0.0
    until = time.time() if state in ACTIVE else summary.updated_time or summary.started_time
    return max(0.0, until - summary.started_time)


def _eta_s(summary: RunSummary) -> float | None:
    if summary.eta_s is not None:
        return summary.eta_s
    if not summary.phase_done or not summary.phase_total or summary.phase_started_time is None:
        return None
    elapsed = time.time() - summary.phase_started_time
    return max(0.0, elapsed / summary.phase_done * (summary.phase_total - summary.phase_done))
