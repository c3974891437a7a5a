"""`opd bench`: measurements that the project holds itself to, repeatable by anyone."""

from __future__ import annotations

import typer

from opd.cli.bench_methods import methods


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(no_args_is_help=True, help="Measurements: methods against each other on the same work.")
    group.command("methods")(methods)
    app.add_typer(group, name="bench")
