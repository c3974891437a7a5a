"""`opd bench methods`: every way to learn from a teacher, on one task, with the same prompts, steps and seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from opd.cli.output import JsonOption, emit_json, say
from opd.cli.steps_bar import StepsBar
from opd.errors import ConfigError


def methods(
    only: Annotated[
        Literal["logit", "chat", "regime"] | None,
        typer.Option(help="Rows of one kind: teachers with log-probabilities, with text only, many prompts and few."),
    ] = None,
    rows: Annotated[str, typer.Option(help="Only these rows, with commas between.", show_default=False)] = "",
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Seeds of every row, counted from 0.")] = 3,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder whose methods-benchmark.json, .md and pictures get these rows.", show_default=False),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure the methods against each other on the bundled task: same prompts, steps and seeds.

    Each row is a run like any other, in a process of its own, about half a minute on one core. Results are kept in the
    data folder: an interrupted bench goes on where it was, a second one costs nothing.
    """
    from opd.bench.methods.catalogue import ROWS, chosen_rows

    names = tuple(name.strip() for name in rows.split(",") if name.strip())
    known = {row.name for row in ROWS}
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"No row is called {', '.join(unknown)}.", hint=f"There are: {', '.join(sorted(known))}.")
    chosen = chosen_rows(only, names)
    if not chosen:
        raise ConfigError("No row is left.", hint="Leave out --only or --rows.")
    from opd.bench.methods.bench import run_methods_bench
    from opd.bench.methods.document import document, write
    from opd.bench.methods.table import render_differences, render_rows
    from opd.store.files import data_dir

    with StepsBar() as bar:
        lines = run_methods_bench(chosen, num_seeds=seeds, folder=data_dir() / "bench-methods", progress=bar.show)
    found = document(lines, seeds)
    if out is not None:
        for path in write(found, out):
            say(f"Wrote {path}")
    if json:
        emit_json(found)
        return
    print(render_rows(found["rows"]))
    if found["differences"]:
        print(f"\n{render_differences(found['differences'])}")
