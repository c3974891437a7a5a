"""`opd studio`: the API and the page."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from opd.cli.output import say
from opd.errors import InputError


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("studio")(studio)


def studio(
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port. Without it: 8420, or the next free one.", show_default=False),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", metavar="", help="Do not open a browser window.")] = False,
    host: Annotated[
        str, typer.Option(help="Address to listen on; loopback only, unless --expose is given.")
    ] = "127.0.0.1",
    expose: Annotated[
        bool,
        typer.Option("--expose", metavar="", help="Allow another host: its token opens this machine."),
    ] = False,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token for --expose, at least 32 characters.")
    ] = None,
) -> None:
    """Open the studio: choose a teacher, drop prompts, see time and dollars, press Start, watch it learn.

    The address that is printed works once and for ten minutes; run the command again for a fresh one. Runs go on when
    the studio is closed. Exit code 3 when a studio of this data folder runs already.
    """
    from opd.end_request import EndRequest
    from opd.main import StudioServer
    from opd.store.files import data_dir

    studio = StudioServer(data_dir(), port=port, host=host, expose=expose, token=read_token(token_file))
    with contextlib.suppress(KeyboardInterrupt), EndRequest() as end, studio as server:
        url = server.new_url()
        say(f"OPD Studio of {server.data_dir}")
        print(f"Open {url}", flush=True)
        say("Ctrl-C ends it; runs go on.")
        if not no_browser:
            import webbrowser

            webbrowser.open(url)
        server.wait(end)


def read_token(file: Path | None) -> str | None:
    """The token in a file; None without one.

    Raises:
        InputError: the file cannot be read.
    """
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The token file cannot be read: {error}.", hint="Give a text file.") from None
