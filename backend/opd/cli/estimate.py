"""`opd estimate` and `opd preflight`: what a run will take, and what is ready for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opd.cli.accepting import AcceptOption, accepted_here
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
    ask: Annotated[
        bool,
        typer.Option("--ask", metavar="", help="Put the run's first three questions to a chat teacher first: paid."),
    ] = False,
    accept: AcceptOption = None,
) -> None:
    """Say what a run will take before it is started: memory, time, dollars, with the assumptions behind them.

    With --ask the lengths of answers are seen and not assumed. What that costs the run does not pay again.
    """
    from opd.config import load_config
    from opd.estimate import estimate as reckon
    from opd.estimate import estimate_scenarios
    from opd.keys import Keys

    if config is None and (ask or not scenarios):
        raise InputError("Nothing to estimate.", hint="Give a CONFIG.yaml, or --scenarios for the table.")
    if config is None:
        found = estimate_scenarios()
    else:
        store, settings = open_store(), load_config(config)
        if ask:
            from opd.estimate.asking import ask_three

            given = accepted_here(settings, accept or [])
            ask_three(settings, ledger=store.root / "money.db", key_of=Keys(store.root).get, accepted=given)
        found = reckon(settings, store=store, with_scenarios=scenarios)
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
    lines += _render_money(found)
    return "\n".join([*lines, "", *(f"- {line}" for line in found.assumptions)])


def _render_money(found: Estimate) -> list[str]:
    if found.likely_usd is None or found.low_usd is None or found.high_usd is None:
        tokens = f"{found.low_tokens:,} to {found.high_tokens:,} tokens"
        return [f"Teacher  {tokens}", *([f"         {found.price_problem}"] if found.price_problem else [])]
    if not found.teacher_is_paid:
        return ["Teacher  $0.00"]
    low, likely, high = (amount(usd) for usd in (found.low_usd, found.likely_usd, found.high_usd))
    lines = [f"Teacher  {likely} ({low} to {high})"]
    for stage in found.stages:
        tokens = f"{stage.input_tokens:,} tokens in, {stage.output_tokens:,} out"
        lines.append(f"           {amount(stage.likely_usd):>9}  {stage.num_requests:,} {stage.words}: {tokens}")
    if found.num_kept:
        lines.append(f"           {found.num_kept:,} answers were paid before and cost nothing now.")
    if found.every_step_usd is not None:
        anew = "if every row of every step were asked anew; no run here does that."
        lines.append(f"           {amount(found.every_step_usd):>9}  {anew}")
    return lines


def amount(usd: float | None) -> str:
    """Dollars to the cent, or to two digits where they are less than one."""
    if usd is None:
        return "?"
    return f"${usd:,.2f}" if usd == 0 or usd >= 0.01 else f"${usd:.2g}"


def _render_scenarios(found: Estimate) -> str:
    if not found.scenarios:
        return ""
    rows = [
        (f"{row.num_prompts:,}", f"{row.num_steps:,}", f"{row.num_tokens:,}", row.model, row.usd_shown)
        for row in found.scenarios
    ]
    return f"{table(('Prompts', 'Steps', 'Tokens', 'Teacher', 'Cost'), rows)}\n\n{found.scenario_note}"
