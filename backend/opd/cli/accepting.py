"""Asking the person at a terminal to accept what has to be accepted, such as a provider's terms."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from opd.cli.output import say

if TYPE_CHECKING:
    from opd.config import RunConfig

AcceptOption = Annotated[
    list[str] | None, typer.Option("--accept", metavar="CODE", help="Accept this notice, such as a provider's terms.")
]


def accepted_here(config: RunConfig, accepted: Sequence[str]) -> list[str]:
    """All that is accepted: what was given, and what the person says to a notice that is still open; in a script
    nobody is asked."""
    from opd.terms import notice_for

    notice = notice_for(config)
    if notice is None or notice.code in accepted or not sys.stdin.isatty():
        return list(accepted)
    say(f"{notice.title}: {notice.text}\n{notice.address}")
    return [*accepted, notice.code] if typer.confirm("Do you accept them for this run?", err=True) else list(accepted)
