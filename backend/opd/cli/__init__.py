"""The command line: every action of the studio as a command.

Answers go to stdout, everything else to stderr; with --json stdout holds exactly one JSON document. Exit codes: 0 done,
1 failed, 2 unusable input, 3 somebody else holds it, 130 interrupted and saved. Packages that take time to load are
imported inside the commands that need them.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from opd import __version__
from opd.cli import (
    bench,
    costs,
    data,
    demo,
    doctor,
    estimate,
    evaluate,
    export,
    keys,
    probe,
    runs,
    serve,
    studio,
    train,
)
from opd.cli.output import emit_json, say, say_error
from opd.errors import EXIT_INTERRUPTED, EXIT_UNUSABLE_INPUT, OPDError

app = typer.Typer(
    name="opd",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "On-policy distillation that you can run, watch and trust.\n\n"
        "A small model (the student) writes, a better one (the teacher) grades every token of it, and the student "
        "learns from its own mistakes. Start with `opd studio`, or with `opd demo` if you have "
        "a minute.\n\n"
        "Every command takes --help. Exit codes: 0 done, 1 failed, 2 unusable input, 3 somebody else holds it, "
        "130 interrupted and saved."
    ),
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"opd {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, metavar="", help="Show the version and exit."),
    ] = False,
) -> None:
    """Options before the command."""


studio.register(app)
demo.register(app)
train.register(app)
runs.register(app)
evaluate.register(app)
export.register(app)
serve.register(app)
data.register(app)
estimate.register(app)
probe.register(app)
doctor.register(app)
costs.register(app)
keys.register(app)
bench.register(app)


def main() -> None:
    """The entry point `opd`: commands, with errors in words and an exit code for each kind."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """One command; the exit code comes back."""
    try:
        code = app(arguments, prog_name="opd", standalone_mode=False)
    except OPDError as error:
        if "--json" in arguments:
            emit_json({"error": error.as_dict()})
        say_error(error)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        say("\nInterrupted.")
        return EXIT_INTERRUPTED
    except typer.TyperException as error:
        message = error.format_message()
        if not message:  # the help was shown instead
            return 0
        say(f"Error: {message}\n\nEvery command takes --help.")
        return EXIT_UNUSABLE_INPUT
    return code if isinstance(code, int) else 0
