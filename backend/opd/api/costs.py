"""What paid teachers have cost, and the month's budget: the same figures as `opd costs`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import PlainTextResponse, Response
from pydantic import Field

from opd.api.base import RUN_ID_PATTERN, ApiModel, errors
from opd.api.deps import Studio, get_studio
from opd.errors import InputError
from opd.pricing import NANO_PER_USD, usd
from opd.store.money import CostRow, Ledger, LedgerError, costs_csv, read_costs, spent_usd, this_month

router = APIRouter(prefix="/api/costs", tags=["costs"])

RunId = Annotated[str | None, Query(pattern=RUN_ID_PATTERN, description="Only this run.")]
Month = Annotated[
    str | None, Query(pattern=r"^\d{4}-(0[1-9]|1[0-2])$", description="Only this month (UTC), as in 2026-11.")
]
_MOST_USD = 1_000_000


class Cost(ApiModel):
    """Spending of one run on one teacher in one stage, in integer nano-dollars."""

    run_id: str
    teacher: str
    stage: str
    num_calls: int
    """Calls that were paid."""
    num_uncertain: int
    """Calls whose fate is unknown; each counts at its worst case."""
    num_hits: int
    """Answers that were kept from an earlier call and cost nothing."""
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    spent_nano_usd: int
    held_nano_usd: int
    saved_nano_usd: int
    """What the kept answers would have cost."""


class Costs(ApiModel):
    """Spending by run, teacher and stage."""

    rows: list[Cost]
    spent_usd: str
    """Dollars of all rows together, exact."""


class MonthBudget(ApiModel):
    """All runs together in this month (UTC)."""

    month: str
    cap_nano_usd: int | None
    """None: no cap."""
    spent_nano_usd: int
    held_nano_usd: int
    possibly_paid_nano_usd: int
    """Part of what is held: calls whose fate is unknown."""
    saved_nano_usd: int


class MonthCap(ApiModel):
    """The cap of this and every later month."""

    cap_usd: float | None = Field(ge=0, le=_MOST_USD)
    """US dollars; null takes the cap away."""


@router.get("", operation_id="listCosts", responses=errors())
def list_costs(studio: Annotated[Studio, Depends(get_studio)], run_id: RunId = None, month: Month = None) -> Costs:
    """Spending by run, teacher and stage; equals `opd costs --json`."""
    rows = _rows(studio, run_id, month)
    return Costs(rows=[Cost.model_validate(row.as_dict()) for row in rows], spent_usd=spent_usd(rows))


@router.get(
    "/csv",
    operation_id="costsAsCsv",
    response_class=Response,  # so that refusals keep their JSON in the document
    responses={**errors(), 200: {"description": "CSV.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def costs_as_csv(
    studio: Annotated[Studio, Depends(get_studio)], run_id: RunId = None, month: Month = None
) -> PlainTextResponse:
    """The same as CSV with exact dollars; equals `opd costs --csv`."""
    return PlainTextResponse(costs_csv(_rows(studio, run_id, month)))


@router.get("/month", operation_id="getMonthBudget", responses=errors())
def get_month_budget(studio: Annotated[Studio, Depends(get_studio)]) -> MonthBudget:
    """This month's budget and what is left of it."""
    path = studio.data_dir / "money.db"
    if not path.exists():  # looking makes no ledger
        return MonthBudget(
            month=this_month(),
            cap_nano_usd=None,
            spent_nano_usd=0,
            held_nano_usd=0,
            possibly_paid_nano_usd=0,
            saved_nano_usd=0,
        )
    with Ledger(path) as ledger:
        return _budget(ledger)


@router.put("/month", operation_id="setMonthBudget", responses=errors(400))
def set_month_budget(cap: MonthCap, studio: Annotated[Studio, Depends(get_studio)]) -> MonthBudget:
    """Set or take away the cap of this and every later month. Never below what is spent and held."""
    with Ledger(studio.data_dir / "money.db") as ledger:
        try:
            ledger.set_month_cap(None if cap.cap_usd is None else round(cap.cap_usd * NANO_PER_USD))
        except LedgerError:
            known = ledger.month_meter()
            committed = usd(known.spent_nano_usd + known.held_nano_usd)
            raise InputError(
                f"The cap is below the ${committed:.4f} that this month has spent or may owe.",
                hint="Choose a higher cap; money that may be owed cannot be taken back.",
            ) from None
        return _budget(ledger)


def _rows(studio: Studio, run_id: str | None, month: str | None) -> list[CostRow]:
    return read_costs(studio.data_dir / "money.db", run_id=run_id, month=month)


def _budget(ledger: Ledger) -> MonthBudget:
    meter = ledger.month_meter()
    return MonthBudget(
        month=this_month(),
        cap_nano_usd=meter.cap_nano_usd,
        spent_nano_usd=meter.spent_nano_usd,
        held_nano_usd=meter.held_nano_usd,
        possibly_paid_nano_usd=meter.possibly_paid_nano_usd,
        saved_nano_usd=meter.saved_nano_usd,
    )
