"""Exports of a run: begin one, and see how far they are. The work is done by a child process."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import Field

from opd.api.base import ApiModel, RunIdInPath, errors
from opd.api.deps import Studio, get_studio
from opd.export_jobs import start_export
from opd.store.exports import ExportForm, ExportRecord, export_records

router = APIRouter(prefix="/api/runs", tags=["exports"])
StudioDep = Annotated[Studio, Depends(get_studio)]


class ExportRequest(ApiModel):
    """What to export; it goes into the run's own folder."""

    form: ExportForm
    """lora: the adapters alone. merged: a complete model folder. gguf: one file for llama.cpp. ollama: that and a
    Modelfile."""
    precision: Literal["f16", "bf16", "f32"] = "f16"
    """How GGUF stores matrices."""
    step: int | None = Field(None, ge=1)
    """A checkpoint's; None takes the finished model."""


class Exports(ApiModel):
    """Every export of a run that was asked for."""

    run_id: str
    items: list[ExportRecord]


@router.post("/{run_id}/export", operation_id="startExport", responses=errors(404, 409))
def start(run_id: RunIdInPath, request: ExportRequest, studio: StudioDep) -> ExportRecord:
    """Begin an export. Asked again while it is at work, the same one answers; a finished one is made anew."""
    run = studio.store.get(run_id)
    return start_export(run, request.form, precision=request.precision, step=request.step)


@router.get("/{run_id}/exports", operation_id="listExports", responses=errors(404))
def list_exports(run_id: RunIdInPath, studio: StudioDep) -> Exports:
    """How far each export is, and what was proven of those that are done."""
    return Exports(run_id=run_id, items=export_records(studio.store.get(run_id)))
