"""`opd data check`: what a data file holds and every line that is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from opd.cli.output import JsonOption, emit_json
from opd.errors import EXIT_UNUSABLE_INPUT


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(no_args_is_help=True, help="Look at data files before a run uses them.")
    group.command("check")(check)
    app.add_typer(group, name="data")


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSONL file of chat prompts.")],
    json: JsonOption = False,
    max_errors: Annotated[int, typer.Option(min=1, help="Problems listed at most; all are counted.")] = 100,
    test_fraction: Annotated[
        float, typer.Option(min=0.0, max=0.99, help="Share held out for the verdict, for the split that is shown.")
    ] = 0.1,
) -> int:
    """Check a file of prompts: counts, lengths, the split, and each problem with line, byte offset and fix.

    Exit code 2 when a run could not use the file.
    """
    from opd.data_loader import check_file, load_prompts, render_report, split

    report = check_file(file, max_errors=max_errors)
    parts = split(load_prompts(file), test_fraction, seed=0) if report.ok else None
    if json:
        shown = {"train": len(parts.train), "test": len(parts.test)} if parts else None
        emit_json({**report.as_dict(), "split": shown})
    else:
        text = render_report(report)
        if parts:
            text += f"\nSplit at {test_fraction:g}: {len(parts.train)} to train on, {len(parts.test)} held out."
        print(text)
    return 0 if report.ok else EXIT_UNUSABLE_INPUT
