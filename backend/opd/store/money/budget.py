"""A run's budget as people see and change it: in dollars, or in tokens where the teacher's price is not known.

In: the data folder, a run's id and configuration, an amount. Out: what is allowed, spent and held. Where nothing was
ever paid there is no ledger, and looking makes none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from opd.config import RunConfig
from opd.errors import InputError
from opd.pricing import NANO_PER_USD
from opd.store.money.ledger import Ledger
from opd.store.money.records import Meter

LEDGER = "money.db"
_MOST = {"usd": 1_000_000.0, "tokens": 100_000_000_000.0}


class RunBudget(BaseModel):
    """Amounts in `unit`. What is spent and held together never passes the cap."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_serialization_defaults_required=True)

    run_id: str
    unit: Literal["usd", "tokens"]
    cap: float
    spent: float
    held: float
    """For calls under way, and for those whose fate is unknown."""
    possibly_paid: float
    """The part of `held` that belongs to calls whose fate is unknown: counted in full until it is proven otherwise."""
    saved: float
    """What answers that were paid before would have cost again."""


def budget_of(data_dir: Path, run_id: str, config: RunConfig) -> RunBudget:
    """What a run may spend and has spent."""
    unit, scale = _unit(config)
    path, meter = data_dir / LEDGER, None
    if path.exists():
        with Ledger(path) as ledger:
            meter = ledger.run_meter(run_id)
    if meter is None or meter.cap_nano_usd is None:
        asked = config.budget_tokens if unit == "tokens" else config.budget_usd
        return RunBudget(run_id=run_id, unit=unit, cap=asked or 0.0, spent=0, held=0, possibly_paid=0, saved=0)
    return _described(run_id, unit, scale, meter)


def set_budget(data_dir: Path, run_id: str, config: RunConfig, cap: float) -> RunBudget:
    """Change a run's cap; the run, when it goes on or is at work, keeps to the new one.

    Raises:
        InputError: no sensible amount, or less than is spent and held already.
    """
    unit, scale = _unit(config)
    if not 0 < cap <= _MOST[unit]:
        raise InputError(
            f"{cap:g} is no cap in {_words(unit)}; expected more than 0 and at most {_MOST[unit]:,.0f}.",
            hint="To spend nothing, stop the run.",
        )
    with Ledger(data_dir / LEDGER) as ledger:
        before = ledger.run_meter(run_id)
        used = before.spent_nano_usd + before.held_nano_usd
        if round(cap * scale) < used:
            raise InputError(
                f"A cap of {cap:g} {_words(unit)} is below the {used / scale:g} that are spent and held.",
                hint="Choose a higher one; what may be owed cannot be taken back.",
            )
        ledger.set_run_cap(run_id, round(cap * scale))
        return _described(run_id, unit, scale, ledger.run_meter(run_id))


def _unit(config: RunConfig) -> tuple[Literal["usd", "tokens"], int]:
    """Unit, and how many of the ledger's units it has. Without a price one nano-dollar stands for one token."""
    return ("tokens", 1) if config.budget_tokens is not None else ("usd", NANO_PER_USD)


def _described(run_id: str, unit: Literal["usd", "tokens"], scale: int, meter: Meter) -> RunBudget:
    return RunBudget(
        run_id=run_id,
        unit=unit,
        cap=(meter.cap_nano_usd or 0) / scale,
        spent=meter.spent_nano_usd / scale,
        held=meter.held_nano_usd / scale,
        possibly_paid=meter.possibly_paid_nano_usd / scale,
        saved=meter.saved_nano_usd / scale,
    )


def _words(unit: str) -> str:
    return "tokens" if unit == "tokens" else "dollars"
