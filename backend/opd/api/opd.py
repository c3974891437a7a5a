"""The five endpoints of a run: start, stop, status, metrics, estimate-cost; and its events as a page of the log."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import Field, model_validator

from opd.api.base import RUN_ID_PATTERN, ApiModel, RunIdInQuery, errors
from opd.api.deps import Studio, get_studio
from opd.api.frames import StreamFrame
from opd.api.status import RunStatus, describe_run
from opd.config import RunConfig
from opd.errors import InputError, NotFoundError
from opd.estimate import Estimate, estimate, estimate_scenarios
from opd.events import StoredEvent
from opd.store.events_db import Bucket
from opd.store.runs import RunState, StopMode

router = APIRouter(prefix="/api/opd", tags=["opd"])
StudioDep = Annotated[Studio, Depends(get_studio)]

MAX_METRICS = 64


class StartRequest(ApiModel):
    """What to run. Give a configuration or ask for the bundled demo."""

    request_id: str = Field(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")
    """A new random id for each press of Start: sent again, it answers with the same run instead of a second one."""
    config: RunConfig | None = None
    """A complete run configuration; null with demo."""
    demo: bool = False
    """The bundled distillation, ready to run offline."""
    acknowledge: list[str] = Field(default=[], max_length=32)
    """Codes of notices that the person has read and accepted, such as a provider's terms of use."""
    queue: bool = False
    """Where the device is busy: wait for it (the run is then queued) instead of refusing with 409."""

    @model_validator(mode="after")
    def _config_or_demo(self) -> StartRequest:
        if (self.config is None) != self.demo:
            raise ValueError("give either config or demo: true")
        return self


class StartAnswer(ApiModel):
    """The run that this request started (or had started before)."""

    run_id: str
    state: RunState


class StopRequest(ApiModel):
    """Which run to stop, and how."""

    run_id: str = Field(pattern=RUN_ID_PATTERN)
    mode: StopMode = "save"
    """save writes a checkpoint and the student so far; discard just ends."""


class StopAnswer(ApiModel):
    """The run was asked to stop; it does so after its current step."""

    run_id: str
    state: RunState


class Metrics(ApiModel):
    """Series for charts: min/max buckets, so that a spike of one step survives."""

    run_id: str
    last_step: int
    series: dict[str, list[Bucket]]


class EstimateRequest(ApiModel):
    """A configuration to estimate, or the scenario table."""

    config: RunConfig | None = None
    scenarios: bool = False
    """Also answer the table of what typical amounts of prompts and steps cost with known teachers."""
    ask: bool = False
    """Put the run's first three questions to its chat teacher now, and reckon with what it writes. Paid, kept, and not
    asked again by the run."""
    acknowledge: list[str] = Field(default_factory=list, max_length=16)
    """Codes of notices that the person has read and accepted before anything is asked, such as a provider's terms."""

    @model_validator(mode="after")
    def _something(self) -> EstimateRequest:
        if self.config is None and not self.scenarios:
            raise ValueError("give config, or scenarios: true")
        if self.config is None and self.ask:
            raise ValueError("give the config whose teacher is to be asked")
        return self


class EventPage(ApiModel):
    """A page of a run's event log, in order."""

    items: list[StoredEvent]


@router.post("/start", operation_id="startRun", responses=errors(400, 404, 409))
def start_run(request: StartRequest, studio: StudioDep) -> StartAnswer:
    """Start a run in its own process. Repeating a request id is safe; a busy device answers 409 with its run's id."""
    config = request.config or studio.demo_config()
    run = studio.jobs.start(
        config, request_id=request.request_id, acknowledged=request.acknowledge, queue=request.queue
    )
    studio.chats.close()  # the run needs the memory
    return StartAnswer(run_id=run.run_id, state=run.state())


@router.post("/stop", operation_id="stopRun", responses=errors(400, 404, 409))
def stop_run(request: StopRequest, studio: StudioDep) -> StopAnswer:
    """Ask a run to stop after its current step."""
    run = studio.jobs.stop(request.run_id, request.mode)
    return StopAnswer(run_id=run.run_id, state=run.state())


@router.get("/status", operation_id="getStatus", responses=errors(404))
def get_status(studio: StudioDep, run_id: Annotated[str | None, Query(pattern=RUN_ID_PATTERN)] = None) -> RunStatus:
    """A run's status; without an id, the active run's or else the newest's."""
    run = studio.store.get(run_id) if run_id else studio.store.active() or next(iter(studio.store), None)
    if run is None:
        raise NotFoundError("There is no run yet.", hint="Start one, for example the demo.")
    return describe_run(run, studio.summaries)


@router.get("/metrics", operation_id="getMetrics", responses=errors(400, 404))
def get_metrics(
    studio: StudioDep,
    run_id: RunIdInQuery,
    keys: Annotated[str, Query(max_length=4000, description="Metric names, comma-separated; empty for all.")] = "",
    from_step: Annotated[int, Query(alias="from", ge=0, le=2**53)] = 0,
    to_step: Annotated[int | None, Query(alias="to", ge=0, le=2**53)] = None,
    max_points: Annotated[int, Query(ge=1, le=2000)] = 1000,
) -> Metrics:
    """Metrics of a run over a range of steps, as at most `max_points` buckets each."""
    run = studio.store.get(run_id)
    names = [name.strip() for name in keys.split(",") if name.strip()]
    if len(names) > MAX_METRICS:
        raise InputError(f"{len(names)} metrics asked for, at most {MAX_METRICS} are answered at once.")
    with run.reader() as reader:
        chosen = names or reader.metric_names()[:MAX_METRICS]
        series = reader.buckets(chosen, from_step, to_step, max_points)
    return Metrics(run_id=run_id, last_step=studio.summaries.of(run).step, series=series)


@router.post("/estimate-cost", operation_id="estimateCost", responses=errors(400, 404))
def estimate_cost(request: EstimateRequest, studio: StudioDep) -> Estimate:
    """Memory, time and dollars of a run before it is started, as ranges with their assumptions."""
    if request.config is None:
        return estimate_scenarios()
    if request.ask:
        from opd.estimate.asking import ask_three  # brings an HTTP client: only for whom it is needed

        ask_three(
            request.config, ledger=studio.data_dir / "money.db", key_of=studio.keys.get, accepted=request.acknowledge
        )
    return estimate(request.config, store=studio.store, with_scenarios=request.scenarios)


_SOCKET: dict[int | str, dict[str, Any]] = {
    426: {"model": StreamFrame, "description": "Never answered here: what the WebSocket /api/opd/ws sends."}
}


@router.get("/events", operation_id="getEvents", responses={**errors(404), **_SOCKET})
def get_events(
    studio: StudioDep,
    run_id: RunIdInQuery,
    after: Annotated[int, Query(ge=0, le=2**53, description="Last seq already known.")] = 0,
    limit: Annotated[int, Query(ge=1, le=2000)] = 500,
) -> EventPage:
    """The run's events after `after`: the same items that the WebSocket /api/opd/ws sends."""
    run = studio.store.get(run_id)
    with run.reader() as reader:
        return EventPage(items=reader.read(after, limit))
