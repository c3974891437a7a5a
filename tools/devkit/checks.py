"""`check`: format, lint, types, storeys, generated files. Seconds, no test is run.

The checks do not depend on one another and run side by side; a failing one shows its whole say.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

from devkit import node
from devkit.console import duration, readable, say
from devkit.environment import PYTHON, variables
from devkit.paths import FRONTEND, ROOT, venv_program

MAX_LINES = 80


class Check(NamedTuple):
    """One command that exits 0 when all is well, and how to put right what it finds."""

    name: str
    command: Sequence[str | Path]
    env: dict[str, str]
    cwd: Path = ROOT
    remedy: str = ""


class Outcome(NamedTuple):
    """What one check said."""

    check: Check
    passed: bool
    seconds: float
    output: str


# Files that a module of ours writes: the module, run with --check, exits 1 when the file on disk is not what
# it would write; without the flag it writes it.
GENERATORS = {
    "OpenAPI document": "opd.api.openapi",
    "CLI reference": "opd.cli_docs",
}

# Scripts of frontend/package.json; each must exist.
FRONTEND_SCRIPTS = {
    "types (TypeScript)": ("typecheck", ""),
    "lint (TypeScript)": ("lint", ""),
    "API types from OpenAPI": ("generate:check", "make openapi writes them"),
}


def all_checks() -> list[Check]:
    """Every check of this tree, the slowest first so that two cores finish together."""
    env = variables()
    ruff = venv_program("ruff")
    return [
        Check("types (Python)", [PYTHON, "-m", "mypy"], env),
        *_frontend_checks(),
        *(
            Check(name, [PYTHON, "-m", module, "--check"], env, remedy="make openapi writes it")
            for name, module in GENERATORS.items()
        ),
        Check("storeys", [venv_program("lint-imports"), "--no-logo"], env, remedy="see docs/architecture.md"),
        Check("lint (Python)", [ruff, "check"], env, remedy=f"{ruff.relative_to(ROOT)} check --fix"),
        Check("format (Python)", [ruff, "format", "--check"], env, remedy=f"{ruff.relative_to(ROOT)} format"),
    ]


def run(checks: Sequence[Check]) -> list[Outcome]:
    """Runs the checks, at most one per core at a time, and reports each as it ends."""
    outcomes = []
    with ThreadPoolExecutor(max_workers=max(1, min(4, os.cpu_count() or 1))) as pool:
        for future in as_completed([pool.submit(_run_one, check) for check in checks]):
            outcome = future.result()
            outcomes.append(outcome)
            say(f"  {outcome.check.name}: {'ok' if outcome.passed else 'FAILED'}, {duration(outcome.seconds)}")
    for outcome in outcomes:
        if not outcome.passed:
            _show(outcome)
    return outcomes


def _frontend_checks() -> list[Check]:
    if not FRONTEND.is_dir():
        say("  TypeScript: no frontend/ in this tree")
        return []
    found = node.ensure()
    node.install_packages(found)
    return [
        Check(name, [*found.npm, "run", "--silent", script], found.variables(), FRONTEND, remedy)
        for name, (script, remedy) in FRONTEND_SCRIPTS.items()
    ]


def _run_one(check: Check) -> Outcome:
    started = time.monotonic()
    done = subprocess.run(
        [str(part) for part in check.command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=check.env,
        cwd=check.cwd,
        check=False,
    )
    output = readable(done.stdout.decode("utf-8", "replace"))
    return Outcome(check, done.returncode == 0, time.monotonic() - started, output)


def _show(outcome: Outcome) -> None:
    say(f"\n--- {outcome.check.name} ---")
    lines = outcome.output.splitlines()
    for line in lines[:MAX_LINES]:
        say(line)
    if len(lines) > MAX_LINES:
        say(f"... and {len(lines) - MAX_LINES} more lines")
    if outcome.check.remedy:
        say(f"What to do: {outcome.check.remedy}")
