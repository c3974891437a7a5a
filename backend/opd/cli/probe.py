"""`opd probe`: what this teacher can do for this student, found out live."""

from __future__ import annotations

import typer

from opd.cli.estimate import ConfigArgument
from opd.cli.folders import open_store
from opd.cli.output import JsonOption, emit_json, say
from opd.errors import EXIT_FAILED

_MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("probe")(probe)


def probe(config: ConfigArgument, json: JsonOption = False) -> int:
    """Ask the teacher what it can do, and compare tokenizers, templates, end tokens and context lengths.

    A scoring server is sent a few short texts; a chat API is sent nothing that costs money. Exit code 1 when a run
    could not start.
    """
    from opd.config import load_config
    from opd.jobs import needed_keys
    from opd.keys import Keys
    from opd.teachers.probe import probe as look

    found = load_config(config)
    keys = Keys(open_store().root).collect([name for name in needed_keys(found) if name != "huggingface"])
    report = look(found, key=next(iter(keys.values()), None))
    if json:
        emit_json({"ok": report.ok, **report.model_dump()})
    else:
        for row in report.rows:
            print(f"{_MARKS[row.status]}  {row.title}: {row.detail}")
            if row.fix and row.status != "ok":
                print(f"      {row.fix}")
        print(f"\n{report.finding}" if report.finding else "\nNothing could be found out about this teacher.")
        say(f"Found out in {report.duration_s:.1f} s.")
    return 0 if report.ok else EXIT_FAILED
