"""`opd demo`: the bundled distillation, live; `opd demo build-models`: the models it uses, made from nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from opd.cli.output import JsonOption, emit_json, say


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(invoke_without_command=True)
    group.callback()(demo)
    group.command("build-models")(build_models)
    app.add_typer(group, name="demo")


def demo(
    context: typer.Context,
    json: JsonOption = False,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another run: the same story.")] = 0,
    keep_open: Annotated[
        bool | None,
        typer.Option(
            "--keep-open/--no-keep-open",
            metavar="",
            help="Keep the studio open after the verdict. Without either: only where there is a terminal.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the studio: 8420, or the next free one.")
    ] = None,
) -> int:
    """Run the bundled distillation: a real one, about a minute on two cores, offline, without a key.

    It opens the studio, starts the run in it, prints the address where the same run is live, and ends with the
    verdict. The last line on stdout is one JSON object with the figures, with --json or without.
    """
    if context.invoked_subcommand is not None:
        return 0
    from opd.cli.follow_demo import run_demo

    return run_demo(seed=seed, keep_open=False if json and keep_open is None else keep_open, port=port)


def build_models(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write teacher/ and student/ into.")],
    json: JsonOption = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of data and weights.")] = 0,
) -> None:
    """Train the demo's tokenizer, teacher and student from nothing. Takes minutes on two cores."""
    from opd.demo.recipe import build_models as build

    report = build(out, seed=seed, progress=say)
    if json:
        emit_json(report)
