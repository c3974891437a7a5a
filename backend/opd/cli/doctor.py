"""`opd doctor`: is this installation in order?"""

from __future__ import annotations

import typer

from opd.cli.output import JsonOption, emit_json, say
from opd.errors import EXIT_FAILED


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("doctor")(doctor)


def doctor(json: JsonOption = False) -> int:
    """Look over this installation: packages, devices, disk, database, which keys are present (never their values).

    Exit code 1 when something has to be put right first.
    """
    from opd.doctor import render_checks, run_checks

    say("Looking over this installation …")
    checks = run_checks()
    failed = sum(check.status == "fail" for check in checks)
    if json:
        emit_json({"ok": failed == 0, "checks": [check.as_dict() for check in checks]})
    else:
        print(render_checks(checks))
    return EXIT_FAILED if failed else 0
