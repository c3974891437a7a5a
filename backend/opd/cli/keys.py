"""`opd keys`: provider keys of this machine. A value goes in and is never shown."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from opd.cli.output import JsonOption, emit_json, say, table

if TYPE_CHECKING:
    from opd.keys import Keys

ProviderArgument = Annotated[str, typer.Argument(metavar="PROVIDER", help="For example openai or anthropic.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(no_args_is_help=True, help="Provider keys: which exist, put one, remove one.")
    group.command("list")(list_keys)
    group.command("set")(set_key)
    group.command("delete")(delete_key)
    app.add_typer(group, name="keys")


def list_keys(json: JsonOption = False) -> None:
    """Show for which providers there is a key, and where it is kept. Values are never shown."""
    found = _keys().presence()
    if json:
        emit_json([item.model_dump() for item in found])
        return
    rows = [(item.provider, item.source or "-", item.variable) for item in found]
    print(table(("Provider", "Kept in", "Environment variable"), rows))


def set_key(provider: ProviderArgument) -> None:
    """Keep a key in the system's keyring, else in a file that only you can read.

    The key is asked for without echo; in a script, pipe it in.
    """
    keys = _keys()
    keys.presence_of(provider)
    value = typer.prompt("Key", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    keys.put(provider, value)
    say(f"The key for {provider} is kept ({keys.presence_of(provider).source}).")


def delete_key(provider: ProviderArgument) -> None:
    """Forget a key. One in the environment stays: unset its variable instead."""
    keys = _keys()
    keys.delete(provider)
    left = keys.presence_of(provider)
    say(f"A key for {provider} is still in {left.variable}." if left.present else f"No key for {provider} is kept.")


def _keys() -> Keys:
    from opd.keys import Keys
    from opd.store.files import data_dir

    return Keys(data_dir())
