"""Commands of `opd` in this process, for tests that read what they say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from opd.cli import run


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr of a command."""
    code = run(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


def ask_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    """Exit code and the one JSON document on stdout."""
    code, out, _ = ask(capsys, *arguments, "--json")
    return code, json.loads(out)
