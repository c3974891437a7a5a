"""Runs beyond the five endpoints: list, show, compare, resume, delete, samples, report, log."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from opd.api.base import ApiModel, RunIdInPath, errors
from opd.api.compare import ConfigDifference, MetricComparison, compare_configs, compare_metrics
from opd.api.deps import Studio, get_studio
from opd.api.opd import StartAnswer
from opd.api.status import RunListItem, RunStatus, describe_run, list_item, list_items
from opd.config import RunConfig
from opd.errors import BusyError, InputError, NotFoundError
from opd.evaluation.compare import RunOutcome, compare_outcomes
from opd.events import SampleRecorded, VerdictReached
from opd.export_jobs import running
from opd.store.files import read_tail
from opd.store.money.budget import set_budget

router = APIRouter(prefix="/api/runs", tags=["runs"])
StudioDep = Annotated[Studio, Depends(get_studio)]

MAX_COMPARED = 8
_LOG_TAIL_BYTES = 64 * 1024
_REPORT_TYPES = {"json": "application/json", "html": "text/html; charset=utf-8", "md": "text/markdown; charset=utf-8"}
# A report is a page of its own: styles in it, no script, no address, and not as this origin.
_REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"


class RunFile(ApiModel):
    """A file of a run's folder."""

    name: str
    """Path inside the run's folder."""
    num_bytes: int


class RunDetail(ApiModel):
    """Everything about one run."""

    status: RunStatus
    config: RunConfig
    config_yaml: str
    """The same as YAML: what `opd train` takes."""
    accepted: dict[str, str]
    """Notices that a person has accepted for this run, such as a provider's terms: when (UTC) by code."""
    path: str
    """The run's folder."""
    files: list[RunFile]


class RunList(ApiModel):
    """All runs, newest first."""

    items: list[RunListItem]


class RunDeleted(ApiModel):
    """The run's folder is gone."""

    run_id: str


class Samples(ApiModel):
    """Answers recorded while the run went on."""

    run_id: str
    items: list[SampleRecorded]


class LogTail(ApiModel):
    """The end of what the run's process printed."""

    run_id: str
    text: str


class Comparison(ApiModel):
    """Runs side by side."""

    runs: list[RunListItem]
    config: list[ConfigDifference]
    """Settings that are not the same in all of them."""
    metrics: list[MetricComparison]
    verdicts: dict[str, VerdictReached | None]
    outcomes: list[RunOutcome]
    """What each run gained and what that cost, the largest gain first."""


class RunTags(ApiModel):
    """Words by which people find a run again."""

    tags: list[Annotated[str, Field(min_length=1, max_length=40)]] = Field(max_length=12)


class ResumeRequest(ApiModel):
    """What may be changed when a run goes on."""

    acknowledge: list[str] = Field(default=[], max_length=32)
    """Codes of notices that the person has read and accepted."""
    cap: float | None = Field(None, gt=0, le=1e11)
    """A new cap for what the run may spend: dollars, or tokens where it is capped by tokens. null leaves it."""
    fix: int | None = Field(None, ge=1, le=100)
    """Which of the changes that its failure offers to make first, counted from 1: the run is then "continued"."""


@router.get("", operation_id="listRuns", responses=errors())
def list_runs(studio: StudioDep, limit: Annotated[int, Query(ge=1, le=1000)] = 200) -> RunList:
    """All runs of this data folder, newest first; those of `opd train` too."""
    return RunList(items=list_items(studio.store, studio.summaries, limit))


@router.get("/compare", operation_id="compareRuns", responses=errors(400, 404))
def compare_runs(
    studio: StudioDep,
    ids: Annotated[str, Query(min_length=1, max_length=600, description="Run ids, comma-separated, at most 8.")],
) -> Comparison:
    """Runs side by side: settings that differ, best and last metrics, verdicts, dollars for each point gained."""
    wanted = list(dict.fromkeys(part.strip() for part in ids.split(",") if part.strip()))
    if not 1 <= len(wanted) <= MAX_COMPARED:
        raise InputError(f"{len(wanted)} runs given, expected 1 to {MAX_COMPARED}.", hint="Give ids=a,b.")
    runs = [studio.store.get(run_id) for run_id in wanted]
    summaries = {run.run_id: studio.summaries.of(run) for run in runs}
    return Comparison(
        runs=[list_item(run, studio.summaries) for run in runs],
        config=compare_configs(runs),
        metrics=compare_metrics(runs),
        verdicts={run_id: summary.verdict for run_id, summary in summaries.items()},
        outcomes=compare_outcomes(summaries),
    )


@router.get("/{run_id}", operation_id="getRun", responses=errors(404))
def get_run(run_id: RunIdInPath, studio: StudioDep) -> RunDetail:
    """A run with its configuration and its files."""
    run = studio.store.get(run_id)
    config = run.config()
    return RunDetail(
        status=describe_run(run, studio.summaries),
        config=config,
        config_yaml=config.as_yaml(),
        accepted=run.accepted(),
        path=str(run.path),
        files=[RunFile(name=name, num_bytes=size) for name, size in run.files()],
    )


@router.delete("/{run_id}", operation_id="deleteRun", responses=errors(404, 409))
def delete_run(run_id: RunIdInPath, studio: StudioDep) -> RunDeleted:
    """Remove a run's folder for good. A run at work is refused with 409."""
    if running(studio.store.get(run_id)) is not None:
        raise BusyError(f"Run {run_id} is being exported.", hint="Delete it when that has ended.")
    studio.chats.close(run_id)
    studio.jobs.delete(run_id)
    studio.summaries.forget(run_id)
    return RunDeleted(run_id=run_id)


@router.put("/{run_id}/tags", operation_id="tagRun", responses=errors(404))
def tag_run(run_id: RunIdInPath, request: RunTags, studio: StudioDep) -> RunTags:
    """Replace a run's tags. They are kept beside its configuration, which cannot change."""
    return RunTags(tags=studio.store.get(run_id).set_tags(request.tags))


@router.post("/{run_id}/resume", operation_id="resumeRun", responses=errors(400, 404, 409))
def resume_run(run_id: RunIdInPath, request: ResumeRequest, studio: StudioDep) -> StartAnswer:
    """Go on with a stopped, failed, paused or interrupted run from its newest checkpoint that verifies."""
    if request.cap is not None:
        set_budget(studio.data_dir, run_id, studio.store.get(run_id).config(), request.cap)
    run = studio.jobs.resume(run_id, acknowledged=request.acknowledge, fix=request.fix)
    studio.chats.close()  # the run needs the memory
    return StartAnswer(run_id=run.run_id, state=run.state())


@router.get("/{run_id}/samples", operation_id="getSamples", responses=errors(404))
def get_samples(run_id: RunIdInPath, studio: StudioDep, limit: Annotated[int, Query(ge=1, le=2000)] = 500) -> Samples:
    """The newest recorded answers to the probe prompts, in order."""
    run = studio.store.get(run_id)
    with run.reader() as reader:
        found = [stored.event for stored in reader.read_kind("sample_recorded", limit)]
    return Samples(run_id=run_id, items=[event for event in found if isinstance(event, SampleRecorded)])


@router.get(
    "/{run_id}/report",
    operation_id="getReport",
    response_class=Response,
    responses={
        **errors(404),
        200: {
            "description": "The report in the format asked for.",
            "content": {"application/json": {"schema": {}}, "text/html": {}, "text/markdown": {}},
        },
    },
)
def get_report(
    run_id: RunIdInPath,
    studio: StudioDep,
    report_format: Annotated[Literal["json", "html", "md"], Query(alias="format")] = "json",
) -> Response:
    """The run's report; it is written at the end of the run."""
    path = studio.store.get(run_id).path / f"report.{report_format}"
    if not path.is_file():
        raise NotFoundError(
            f"Run {run_id} has no report yet.", hint="The report is written when the run has been evaluated."
        )
    headers = {"content-security-policy": _REPORT_POLICY}
    return Response(path.read_bytes(), media_type=_REPORT_TYPES[report_format], headers=headers)


@router.get("/{run_id}/log", operation_id="getLog", responses=errors(404))
def get_log(run_id: RunIdInPath, studio: StudioDep) -> LogTail:
    """The end of the run's log: what its process printed, for diagnosis."""
    run = studio.store.get(run_id)
    return LogTail(run_id=run_id, text=read_tail(run.log_path, _LOG_TAIL_BYTES))
