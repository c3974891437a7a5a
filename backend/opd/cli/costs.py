"""`opd costs`: what paid teachers have cost, by run, teacher and stage."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from opd.cli.folders import find_run, open_store
from opd.cli.output import JsonOption, emit_json, say, table
from opd.errors import InputError

if TYPE_CHECKING:
    from opd.store.money import CostRow


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("costs")(show_costs)


def show_costs(
    run: Annotated[
        str | None, typer.Option(metavar="RUN", help="Only this run (id, its first letters, or latest).")
    ] = None,
    month: Annotated[str | None, typer.Option(metavar="YYYY-MM", help="Only this month (UTC).")] = None,
    csv: Annotated[bool, typer.Option("--csv", metavar="", help="Print CSV with exact amounts.")] = False,
    json: JsonOption = False,
) -> None:
    """Show what paid teachers have cost: settled, possibly paid, and saved by answers that were kept.

    A call whose fate is unknown counts in full, at its worst case, until it is proven otherwise.
    """
    from opd.store.money import costs_csv, spent_usd

    if month is not None and not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month):
        raise InputError(f"{month!r} is not a month.", hint="Write it like 2026-11.")
    rows = _rows(run, month)
    if json:
        emit_json({"rows": [row.as_dict() for row in rows], "spent_usd": spent_usd(rows)})
    elif csv:
        print(costs_csv(rows), end="")
    elif not rows:
        say("Nothing was paid.")
    else:
        print(table(("Run", "Teacher", "Stage", "Calls", "Spent", "Possibly paid", "Saved"), [_cells(r) for r in rows]))
        print(f"\nSpent in all: ${float(spent_usd(rows)):.4f}")


def _rows(run: str | None, month: str | None) -> list[CostRow]:
    from opd.store.money import read_costs

    store = open_store()
    run_id = find_run(store, run).run_id if run is not None else None
    return read_costs(store.root / "money.db", run_id=run_id, month=month)


def _cells(row: CostRow) -> tuple[str, ...]:
    from opd.pricing import usd

    amounts = (f"${usd(nano):.4f}" for nano in (row.spent_nano_usd, row.held_nano_usd, row.saved_nano_usd))
    return row.run_id, row.teacher, row.stage, str(row.num_calls), *amounts
