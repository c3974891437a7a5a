"""Writes docs/cli.md from the commands themselves; `--check` says whether it is fresh.

python -m opd.cli_docs [--check]
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from opd.cli import app

TARGET = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
_PREFACE = """# Command line

Generated from the commands; `make openapi` writes it anew.

Answers go to stdout, words about the work to stderr. With `--json` stdout holds exactly one JSON document.
Exit codes: 0 done, 1 failed, 2 unusable input, 3 somebody else holds it, 130 interrupted and saved.
Runs, datasets and keys live in `~/.opd-studio`, or where `OPD_DATA_DIR` points.
"""


def render() -> str:
    """The document as it is committed."""
    root = typer.main.get_command(app)
    return "\n".join([_PREFACE, *(_section(path, command) for path, command in _commands(root, "opd"))])


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command that does something, in the order of the help."""
    children = getattr(command, "commands", {})
    if not children or command.invoke_without_command:
        yield path, command
    for name, child in children.items():
        yield from _commands(child, f"{path} {name}")


def _section(path: str, command: Any) -> str:
    options = [_row(parameter) for parameter in command.params if parameter.name != "help"]
    usage = " ".join([path, *_arguments(command), *(["[OPTIONS]"] if _has_options(command) else [])])
    lines = [f"## {path}", "", "```", usage, "```", "", inspect.cleandoc(command.help or ""), ""]
    if options:
        lines += ["| | |", "| --- | --- |", *options, ""]
    return "\n".join(lines)


def _arguments(command: Any) -> list[str]:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    return [str(item.metavar) if item.required else f"[{item.metavar}]" for item in arguments]


def _has_options(command: Any) -> bool:
    return any(item.param_type_name == "option" and item.name != "help" for item in command.params)


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = str(parameter.metavar)
    else:
        name = " ".join(filter(None, [", ".join([*parameter.opts, *parameter.secondary_opts]), _value(parameter)]))
    default = parameter.default
    shown = default is not None and not isinstance(default, bool) and parameter.show_default
    help_text = (parameter.help or "").replace("|", "\\|")
    return f"| `{name}` | {help_text}{f' Default: {default}.' if shown else ''} |"


def _value(parameter: Any) -> str:
    if parameter.is_flag or parameter.metavar == "":
        return ""
    return str(parameter.metavar or parameter.name.upper())


def main(arguments: list[str]) -> int:
    """Write the document, or with --check compare it; 1 when it is stale."""
    text = render()
    if "--check" in arguments:
        fresh = TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text
        if not fresh:
            print(f"{TARGET.name} is not what the commands say; run `make openapi`.", file=sys.stderr)
        return 0 if fresh else 1
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(text, encoding="utf-8", newline="\n")
    print(f"wrote {TARGET.name}: {len(text):,} characters", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
