"""`opd runs` and `opd report`: list, show, compare, stop, resume, delete; the verdict as a document."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opd.cli.folders import RunArgument, find_run, open_jobs, open_store
from opd.cli.output import JsonOption, emit_json, say, seconds_text, table
from opd.errors import InputError

if TYPE_CHECKING:
    from opd.api.status import RunListItem, RunStatus
    from opd.evaluation.compare import RunOutcome
    from opd.evaluation.report import ReportFormat
    from opd.events import Interval

REPORT_FORMATS: tuple[ReportFormat, ...] = ("md", "json", "html")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(
        no_args_is_help=True, help="Runs of this data folder: list, show, compare, stop, resume, cap, tag, delete."
    )
    group.command("list")(list_runs)
    group.command("show")(show)
    group.command("compare")(compare)
    group.command("stop")(stop)
    group.command("resume")(resume)
    group.command("budget")(budget)
    group.command("tag")(tag)
    group.command("delete")(delete)
    app.add_typer(group, name="runs")
    app.command("report")(report)


def list_runs(
    json: JsonOption = False, limit: Annotated[int, typer.Option(min=1, help="Show at most so many.")] = 50
) -> None:
    """List runs, newest first, with their state and verdict."""
    from opd.api.status import Summaries, list_items

    items = list_items(open_store(), Summaries(), limit)
    if json:
        emit_json([item.model_dump() for item in items])
    elif not items:
        say("There is no run yet. Start one with `opd demo` or `opd train CONFIG.yaml`.")
    else:
        print(table(("Run", "State", "Step", "Started", "Name", "Verdict"), [_row(item) for item in items]))


def show(run: RunArgument, json: JsonOption = False) -> None:
    """Show a run: state, progress, measurements, verdict, and its configuration."""
    from opd.api.status import Summaries, describe_run

    folder = find_run(open_store(), run)
    status = describe_run(folder, Summaries())
    if json:
        config = folder.config().model_dump(mode="json")
        emit_json({**status.model_dump(), "path": str(folder.path), "config": config})
    else:
        print(_render(status))
        print(f"\nFolder  {folder.path}\n\n{folder.config().as_yaml()}", end="")


def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN …", help="Two to eight runs.")],
    json: JsonOption = False,
) -> None:
    """Compare runs: settings that differ, best and last metrics, verdicts, dollars for each point gained."""
    from opd.api.compare import compare_configs, compare_metrics
    from opd.api.status import Summaries
    from opd.evaluation.compare import compare_outcomes

    store = open_store()
    folders = [find_run(store, name) for name in runs]
    if not 2 <= len(folders) <= 8:
        raise InputError(f"{len(folders)} runs given, expected 2 to 8.", hint="`opd runs list` names them.")
    cache = Summaries()
    summaries = {folder.run_id: cache.of(folder) for folder in folders}
    differences, metrics, outcomes = compare_configs(folders), compare_metrics(folders), compare_outcomes(summaries)
    verdicts = {run_id: summary.verdict for run_id, summary in summaries.items()}
    if json:
        emit_json(
            {
                "runs": [folder.run_id for folder in folders],
                "config": [item.model_dump() for item in differences],
                "metrics": [item.model_dump() for item in metrics],
                "verdicts": {run_id: verdict.model_dump() if verdict else None for run_id, verdict in verdicts.items()},
                "outcomes": [outcome.model_dump() for outcome in outcomes],
            }
        )
        return
    ids = [folder.run_id for folder in folders]
    print(table(("Setting", *ids), [(item.path, *(item.values.get(i) for i in ids)) for item in differences]))
    print()
    ends = [(item.name, *(_number(item.runs[i].last) if i in item.runs else "-" for i in ids)) for item in metrics]
    print(table(("Metric (last)", *ids), ends))
    print()
    heads = ("Run", "Gained, points", "Over imitation", "Spent", "A point", "Recommended")
    print(table(heads, [_outcome_row(outcome) for outcome in outcomes]))
    for run_id, verdict in verdicts.items():
        print(f"\n{run_id}  {verdict.headline if verdict else 'no verdict'}")


def stop(
    run: RunArgument,
    discard: Annotated[
        bool, typer.Option("--discard", metavar="", help="End without saving; earlier checkpoints stay.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Ask a run to stop after its current step. It saves a checkpoint first and can be resumed."""
    store = open_store()
    folder = open_jobs(store).stop(find_run(store, run).run_id, "discard" if discard else "save")
    state = folder.state()
    if json:
        emit_json({"run_id": folder.run_id, "state": state})
    say(f"Run {folder.run_id} is {state}.")


def resume(
    run: RunArgument,
    cap: Annotated[
        float | None, typer.Option(help="A new cap first: dollars, or tokens; see `opd runs budget`.")
    ] = None,
    fix: Annotated[
        int | None, typer.Option(min=1, help="Make this one of the changes first that the run's failure offers.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Go on with a stopped, failed, paused or interrupted run, in a process of its own.

    It starts from the newest checkpoint that verifies. `opd train --resume RUN` does the same in this terminal.
    """
    store = open_store()
    folder = find_run(store, run)
    if cap is not None:
        from opd.store.money.budget import set_budget

        set_budget(store.root, folder.run_id, folder.config(), cap)
    folder = open_jobs(store).resume(folder.run_id, fix=fix)
    if json:
        emit_json({"run_id": folder.run_id, "state": folder.state()})
    say(f"Run {folder.run_id} goes on. Watch it with `opd runs show {folder.run_id}` or in the studio.")


def budget(
    run: RunArgument,
    cap: Annotated[float | None, typer.Argument(metavar="[CAP]", help="The new cap; without it, only look.")] = None,
    json: JsonOption = False,
) -> None:
    """Show what a run may spend and has spent, or change its cap: in dollars, or tokens where it is capped by tokens.

    A run that paused at its cap goes on with `opd runs resume RUN`; what was paid is not asked for again.
    """
    from opd.store.money.budget import budget_of, set_budget

    store = open_store()
    folder = find_run(store, run)
    config = folder.config()
    found = (
        budget_of(store.root, folder.run_id, config)
        if cap is None
        else set_budget(store.root, folder.run_id, config, cap)
    )
    told = folder.summary().money
    nano = told.projected_nano_usd if told is not None else None
    figures = found.model_dump() | {"projected": None if nano is None else nano / (1e9 if found.unit == "usd" else 1)}
    if json:
        emit_json(figures)
        return
    sign, form = ("$", ".4f") if found.unit == "usd" else ("", ",.0f")
    for name in ("cap", "spent", "held", "possibly_paid", "projected", "saved"):
        if figures[name] is not None:
            print(f"{name.replace('_', ' ').capitalize():14} {sign}{figures[name]:{form}}")


def tag(
    run: RunArgument,
    tags: Annotated[list[str] | None, typer.Argument(metavar="[TAG …]", help="None takes all tags away.")] = None,
    json: JsonOption = False,
) -> None:
    """Give a run tags, instead of those it has, to find it again."""
    folder = find_run(open_store(), run)
    kept = folder.set_tags(tags or [])
    if json:
        emit_json({"run_id": folder.run_id, "tags": kept})
    say(f"Run {folder.run_id}: {', '.join(kept) or 'no tags'}.")


def delete(
    run: RunArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", metavar="", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """Delete a run for good: its log, checkpoints, model and report."""
    store = open_store()
    folder = find_run(store, run)
    if not yes:
        size = sum(num_bytes for _, num_bytes in folder.files())
        typer.confirm(f"Delete run {folder.run_id} and its {size / 1e6:,.1f} MB for good?", abort=True, err=True)
    open_jobs(store).delete(folder.run_id)
    if json:
        emit_json({"run_id": folder.run_id, "deleted": True})
    say(f"Run {folder.run_id} is deleted.")


def _outcome_row(outcome: RunOutcome) -> tuple[str, ...]:
    def gap(found: Interval | None) -> str:
        return f"{found.mean:+.1f} ({found.low:+.1f} to {found.high:+.1f})" if found else "-"

    return (
        outcome.run_id,
        gap(outcome.gain_points),
        gap(outcome.gain_over_sft_points),
        f"${outcome.spent_usd:,.2f}",
        "-" if outcome.usd_per_point is None else f"${outcome.usd_per_point:,.4f}",
        outcome.recommended or "-",
    )


def report(
    run: RunArgument,
    form: Annotated[str, typer.Option("--format", help="md, json or html.")] = "md",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.")] = None,
    json: JsonOption = False,
) -> None:
    """Print a run's report: what was measured before and after, with intervals, and what follows from it.

    It is made from the run's folder each time: a finished run gives the same bytes again and costs nothing, a run that
    has not ended is told as far as it came.
    """
    from opd.evaluation.report import render_report

    chosen = next((known for known in REPORT_FORMATS if known == ("json" if json else form)), None)
    if chosen is None:
        raise InputError(f"There is no report format {form!r}.", hint=f"Choose one of {', '.join(REPORT_FORMATS)}.")
    text = render_report(find_run(open_store(), run), chosen)
    if output is None:
        print(text, end="" if text.endswith("\n") else "\n")
    else:
        output.write_bytes(text.encode())
        say(f"Written to {output}.")


def _row(item: RunListItem) -> tuple[str, ...]:
    started = datetime.fromtimestamp(item.created_time).astimezone().strftime("%Y-%m-%d %H:%M")
    verdict = item.verdict.headline if item.verdict else (item.failure.message if item.failure else "")
    return item.run_id, item.state, f"{item.step}/{item.max_steps}", started, item.name, verdict[:80]


def _render(status: RunStatus) -> str:
    summary = status.summary
    lines = [
        f"{status.run_id}  {status.name}",
        f"State   {status.state}" + (" (can be resumed)" if status.resumable else ""),
        f"Step    {summary.step} of {summary.max_steps}, {seconds_text(status.seconds_elapsed)}"
        + (f", phase {summary.phase}" if summary.phase and not summary.finished else "")
        + (f", {seconds_text(status.eta_s)} left in it" if status.eta_s is not None else ""),
    ]
    if summary.latest:
        shown = [f"{name} {_number(value)}" for name, value in sorted(summary.latest.items()) if "/" not in name]
        lines.append(f"Latest  {', '.join(shown)}")
    for subject, evaluation in summary.evaluations.items():
        measured = [f"{name} {_number(found.mean)}" for name, found in evaluation.metrics.items()]
        lines.append(f"{subject:7} {', '.join(measured)}")
    if summary.verdict:
        lines.append(f"Verdict {summary.verdict.headline}")
    lines += [f"Alarm   step {alarm.step}: {alarm.what}" for alarm in summary.alarms]
    if status.failure:
        lines += [f"Failure {status.failure.message}", f"        {status.failure.hint}"]
    return "\n".join(lines)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
