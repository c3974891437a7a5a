"""`opd estimate` and `opd preflight`: what a run will take, and what is ready for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opd.cli.folders import open_store
from opd.cli.output import JsonOption, bytes_text, emit_json, seconds_text, table
from opd.errors import EXIT_FAILED, InputError

if TYPE_CHECKING:
    from opd.estimate import Estimate

ConfigArgument = Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="Run configuration.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("estimate")(estimate)
    app.command("preflight")(preflight)


def estimate(
    config: Annotated[
        Path | None, typer.Argument(metavar="CONFIG.yaml", help="Run configuration.", show_default=False)
    ] = None,
    json: JsonOption = False,
    scenarios: Annotated[
        bool,
        typer.Option("--scenarios", metavar="", help="Show the scenario table with two known paid teachers."),
    ] = False,
) -> None:
    """Say what a run will take before it is started: memory, time, dollars, with the assumptions behind them."""
    from opd.config import load_config
    from opd.estimate import estimate as reckon
    from opd.estimate import estimate_scenarios

    if config is None and not scenarios:
        raise InputError("Nothing to estimate.", hint="Give a CONFIG.yaml, or --scenarios for the table.")
    found = (
        estimate_scenarios()
        if config is None
        else reckon(load_config(config), store=open_store(), with_scenarios=scenarios)
    )
    if json:
        emit_json(found.model_dump())
    else:
        print("\n\n".join(part for part in (_render_run(found) if config else "", _render_scenarios(found)) if part))


def preflight(config: ConfigArgument, json: JsonOption = False) -> int:
    """Look at models, data, memory, disk and device before a run. Starts nothing.

    Exit code 1 when a run could not start.
    """
    from opd.config import load_config
    from opd.preflight import preflight as look

    items = look(load_config(config), store=open_store())
    ok = all(item.status != "fail" for item in items)
    if json:
        emit_json({"ok": ok, "items": [item.model_dump() for item in items]})
    else:
        marks = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}
        for item in items:
            print(f"{marks[item.status]}  {item.title}: {item.detail}")
            if item.fix and item.status != "ok":
                print(f"      {item.fix}")
    return 0 if ok else EXIT_FAILED


def _render_run(found: Estimate) -> str:
    lines = []
    if found.memory is not None:
        parts = ", ".join(f"{part.name.lower()} {bytes_text(part.num_bytes)}" for part in found.memory.parts[:4])
        fits = "fits" if found.memory.fits else "DOES NOT FIT"
        lines.append(
            f"Memory   {bytes_text(found.memory.total_bytes)} of {bytes_text(found.memory.available_bytes)} free, "
            f"{fits} ({parts})"
        )
    if found.time is not None:
        low, likely, high = (seconds_text(s) for s in (found.time.low_s, found.time.likely_s, found.time.high_s))
        lines.append(f"Time     {likely} ({low} to {high}, {found.time.basis})")
    lines.append(f"Teacher  ${found.likely_usd or 0:.2f} (${found.low_usd or 0:.2f} to ${found.high_usd or 0:.2f})")
    return "\n".join([*lines, "", *(f"- {line}" for line in found.assumptions)])


def _render_scenarios(found: Estimate) -> str:
    if not found.scenarios:
        return ""
    rows = [
        (f"{row.num_prompts:,}", f"{row.num_steps:,}", f"{row.num_tokens:,}", row.model, row.usd_shown)
        for row in found.scenarios
    ]
    return f"{table(('Prompts', 'Steps', 'Tokens', 'Teacher', 'Cost'), rows)}\n\n{found.scenario_note}"
