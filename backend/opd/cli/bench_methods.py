"""`opd bench methods`: every way to learn from a teacher, on one task, with the same prompts, steps and seeds."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Literal

import typer

from opd.cli.output import JsonOption, emit_json, say
from opd.cli.progress import StepsBar
from opd.errors import ConfigError


def methods(
    only: Annotated[
        Literal["logit", "chat", "regime"] | None,
        typer.Option(help="Rows of one kind: teachers with log-probabilities, with text only, many prompts and few."),
    ] = None,
    rows: Annotated[str, typer.Option(help="Only these rows, with commas between.", show_default=False)] = "",
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Seeds of every row, counted from 0.")] = 3,
    out: Annotated[
        Path | None, typer.Option(help="Folder for methods.json, methods.md and methods.png.", show_default=False)
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
    from opd.bench.methods.bench import document, run_methods_bench
    from opd.bench.methods.table import draw, render_markdown
    from opd.store.files import data_dir

    with StepsBar() as bar:
        lines = run_methods_bench(chosen, num_seeds=seeds, folder=data_dir() / "bench-methods", progress=bar.show)
    found, text = document(lines, seeds), render_markdown(lines)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "methods.json").write_text(json_module.dumps(found, indent=1) + "\n", "utf-8")
        (out / "methods.md").write_text(text + "\n", "utf-8")
        draw(found["rows"], out / "methods.png")
        say(f"Written to {out}")
    if json:
        emit_json(found)
    else:
        print(text)
