"""`opd eval`: a run's model measured again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from opd.cli.folders import RunArgument, find_run, open_store
from opd.cli.output import JsonOption, emit_json, say, table

if TYPE_CHECKING:
    from opd.events import EvaluationFinished, RunSummary


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("eval")(evaluate)


def evaluate(
    run: RunArgument,
    step: Annotated[
        int | None, typer.Option(min=1, help="Measure the checkpoint of this step, not the finished model.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure a run's model on its held-out prompts, here and now, and show it beside what the run itself measured.

    Nothing of the run changes. It also measures a run that was stopped and saved, or one of a run's checkpoints.
    """
    from opd.jobs import needed_keys
    from opd.keys import Keys
    from opd.pipeline.evaluate import Spoken, evaluate_run

    store = open_store()
    folder = find_run(store, run)
    keys = Keys(store.root).collect(needed_keys(folder.config()))
    measured = evaluate_run(folder, Spoken(lambda phase: say(f"{phase} …")), step=step, keys=keys)
    summary = folder.summary()
    if json:
        emit_json(
            {
                "run_id": folder.run_id,
                "step": step,
                "measured": {name: found.model_dump() for name, found in measured.metrics.items()},
                "evaluations": {
                    subject: {name: found.model_dump() for name, found in evaluation.metrics.items()}
                    for subject, evaluation in summary.evaluations.items()
                },
                "verdict": summary.verdict.model_dump() if summary.verdict else None,
            }
        )
    else:
        print(_render(measured, summary, "now" if step is None else f"step {step}"))


def _render(measured: EvaluationFinished, summary: RunSummary, name: str) -> str:
    columns = {name: measured, **summary.evaluations}
    metrics = list(measured.metrics)
    rows = [(metric, *(_interval(evaluation, metric) for evaluation in columns.values())) for metric in metrics]
    lines = [table(("Metric", *columns), rows), "", "Means, and 95 % intervals over prompts."]
    if summary.verdict:
        lines.append(f"The run's verdict: {summary.verdict.headline}")
    return "\n".join(lines)


def _interval(evaluation: EvaluationFinished, metric: str) -> str:
    found = evaluation.metrics.get(metric)
    return f"{found.mean:.3g} ({found.low:.3g} to {found.high:.3g})" if found else "-"
