"""What a run may spend: look, and raise or lower its cap while it runs, pauses or waits."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field

from opd.api.base import ApiModel, RunIdInPath, errors
from opd.api.deps import Studio, get_studio
from opd.store.money.budget import RunBudget, budget_of, set_budget

router = APIRouter(prefix="/api/runs", tags=["runs"])
StudioDep = Annotated[Studio, Depends(get_studio)]


class NewCap(ApiModel):
    """A cap in the run's own unit."""

    cap: float = Field(gt=0, le=1e11)
    """Dollars, or tokens where the run is capped by tokens; never below what is spent and held."""


@router.get("/{run_id}/budget", operation_id="getBudget", responses=errors(404))
def get_budget(run_id: RunIdInPath, studio: StudioDep) -> RunBudget:
    """What a run may spend, has spent, and holds for calls under way or of unknown fate."""
    run = studio.store.get(run_id)
    return budget_of(studio.data_dir, run.run_id, run.config())


@router.put("/{run_id}/budget", operation_id="setBudget", responses=errors(400, 404))
def put_budget(run_id: RunIdInPath, request: NewCap, studio: StudioDep) -> RunBudget:
    """Change a run's cap. One that paused at its old cap can then be resumed; nothing paid is asked for again."""
    run = studio.store.get(run_id)
    return set_budget(studio.data_dir, run.run_id, run.config(), request.cap)
