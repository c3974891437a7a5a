"""`opd bench speed` and `growth`: one optimizer step against TRL's, and how it grows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from opd.cli.output import JsonOption, emit_json, say
from opd.cli.steps_bar import StepsBar
from opd.errors import ConfigError

ThreadsOption = Annotated[
    int | None, typer.Option(min=1, help="CPU threads of a trainer; all cores if left out.", show_default=False)
]


def speed(
    config: Annotated[
        str,
        typer.Option(metavar="NAME|FILE", help="toy, realistic, long-prompt, gpu, or a YAML file with a workload."),
    ] = "realistic",
    steps: Annotated[int, typer.Option(help="Measured optimizer steps of each trainer, after one to warm up.")] = 5,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Measure one optimizer step: OPD Studio against TRL's GOLDTrainer and DistillationTrainer, taking turns.

    All three get the same prompts, the same random weights and the same mathematics, which is checked first. The
    report has time, memory, where the time went, and what this device could do at best. Minutes, not seconds.
    """
    _need_training()
    from opd.bench.speed import render_markdown, run_speed_bench

    with StepsBar() as bar:
        report = run_speed_bench(config, steps=steps, threads=threads, progress=bar.show)
    if json:
        emit_json(report.as_dict())
    else:
        print(render_markdown(report))


def steps(
    config: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="A workload, as of `opd bench speed`.")
    ] = "realistic",
    steps: Annotated[int, typer.Option(min=1, help="Measured steps of each kind, after one to warm up.")] = 5,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Measure what a mixed and an accumulated step cost beside a plain one: no more than their tokens."""
    _need_training()
    from opd.bench.steps import as_document, measure_steps, render_steps

    costs = measure_steps(config, steps=steps, threads=threads)
    if json:
        emit_json(as_document(costs))
    else:
        print(render_steps(costs))


def growth(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where growth.json and growth.png go.")],
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps of each size; the fastest counts.")] = 2,
    threads: ThreadsOption = None,
    redraw: Annotated[
        bool, typer.Option("--redraw", metavar="", help="Draw the growth.json that is there, without measuring.")
    ] = False,
) -> None:
    """Measure how time and memory of a step grow with vocabulary, prompt length and batch, and draw it."""
    _need_training()
    from opd.bench.growth import draw, read_growth, write_growth

    with StepsBar() as bar:
        points = (
            read_growth(folder) if redraw else write_growth(folder, steps=steps, threads=threads, progress=bar.show)
        )
    draw(points, folder / "growth.png")
    say(f"{len(points)} sizes in {folder / 'growth.json'}, drawn in {folder / 'growth.png'}")


def _need_training() -> None:
    """Refuse in words where the packages of training are missing."""
    try:
        import opd.training.stock  # noqa: F401  # needs all of them
    except ImportError as error:
        raise ConfigError(
            f"{error.name or 'A package'} is not installed, and measurements of training need it.",
            hint='Install the training packages with `pip install "opd-studio[train]"`.',
        ) from None
