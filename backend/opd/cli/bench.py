"""`opd bench`: measurements that the project holds itself to, repeatable by anyone."""

from __future__ import annotations

from typing import Annotated

import typer

from opd.cli.bench_methods import methods
from opd.cli.bench_speed import growth, speed, steps
from opd.cli.output import JsonOption, emit_json
from opd.cli.steps_bar import StepsBar


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(
        no_args_is_help=True, help="Measurements: speed against TRL, methods against each other, on the same work."
    )
    group.command("speed")(speed)
    group.command("growth")(growth)
    group.command("steps")(steps)
    group.command("methods")(methods)
    group.command("tokenizers")(tokenizers)
    group.command("ledger")(ledger)
    app.add_typer(group, name="bench")


def tokenizers(
    steps: Annotated[int, typer.Option(min=1, help="Measured optimizer steps of each.")] = 40,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    json: JsonOption = False,
) -> None:
    """Measure what a teacher with another tokenizer costs a step, beside one with the student's own.

    The demo's models, taking turns. The other teacher is made on demand and kept: minutes, once.
    """
    from opd.bench.tokenizers import run_tokenizers_bench
    from opd.store.files import data_dir

    with StepsBar() as bar:
        report = run_tokenizers_bench(data_dir() / "bench-methods", steps=steps, threads=threads, progress=bar.show)
    if json:
        emit_json(report.as_dict())
    else:
        print(report.as_text())


def ledger(
    calls: Annotated[int, typer.Option(min=1, help="Calls of each kind.")] = 10_000,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Calls under way at once.")] = 32,
    answer_s: Annotated[float, typer.Option("--answer-s", min=0.001, help="Seconds the provider takes.")] = 1.0,
    json: JsonOption = False,
) -> None:
    """Measure what the bookkeeping of paid calls costs a run, and whether a provider is kept busy.

    The calls go to a provider on this machine, made twice, in turns: with and without a ledger. Nothing is paid.
    """
    from opd.bench.ledger import run_ledger_bench

    report = run_ledger_bench(calls=calls, concurrency=concurrency, answer_s=answer_s)
    if json:
        emit_json(report.as_dict())
    else:
        print(report.as_text())
