"""`opd export`: a run's model for other programs, verified."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from opd.cli.folders import RunArgument, find_run, open_store
from opd.cli.output import JsonOption, bytes_text, emit_json, say
from opd.errors import InputError

if TYPE_CHECKING:
    from opd.store.exports import ExportForm, ExportReport


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("export")(export)


def export(
    run: RunArgument,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New or empty folder.", show_default=False)],
    to: Annotated[str, typer.Option("--to", help="lora, merged, gguf or ollama.", show_default=False)],
    step: Annotated[
        int | None, typer.Option(min=1, help="Export the checkpoint of this step, not the finished model.")
    ] = None,
    final: Annotated[
        bool, typer.Option("--final", metavar="", help="Export the finished student whatever the verdict recommends.")
    ] = False,
    precision: Annotated[str, typer.Option(help="How GGUF stores matrices: f16, bf16 or f32.")] = "f16",
    json: JsonOption = False,
) -> None:
    """Write a run's model for other programs, and prove that what was written is the run's model.

    lora: the adapters alone (PEFT). merged: a complete model folder. gguf: one file for llama.cpp. ollama: that file
    and a Modelfile with the chat template. What was written is read back and compared; what cannot be written
    faithfully is refused, and nothing is left behind. Where the verdict recommends the imitation baseline or an earlier
    checkpoint, that is the run's model.
    """
    from opd.export.work import export_run

    report = export_run(
        find_run(open_store(), run),
        _form(to),
        folder.resolve(),
        step=step,
        final=final,
        precision=precision,
        say=lambda phase, done: say(f"{phase} …"),
    )
    if json:
        emit_json(report.model_dump())
    else:
        print(_render(report))


def _form(name: str) -> ExportForm:
    from opd.store.exports import ExportForm

    for form in get_args(ExportForm):
        if name == form:
            return form  # type: ignore[no-any-return]  # one of the literal's values
    raise InputError(f"There is no export form {name!r}.", hint=f"Choose one of {', '.join(get_args(ExportForm))}.")


def _render(report: ExportReport) -> str:
    lines = [f"{check.what}: {check.found}." for check in report.checks]
    size = sum(file.num_bytes for file in report.files)
    return "\n".join([*lines, "", f"{report.path} ({bytes_text(size)})", f"Use it: {report.how_to_use}"])
