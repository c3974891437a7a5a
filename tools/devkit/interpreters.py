"""Finds a Python that can run the project and make a virtual environment.

In: `OPD_PYTHON`, the running interpreter, PATH, the Windows `py` launcher. Out: an `Interpreter`, or the
sentence that tells what is missing. Keeps to syntax that Pythons older than 3.11 also read.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

OLDEST = (3, 11)
TESTED = ((3, 13), (3, 12), (3, 11))

_QUESTION = """
import json, sys
try:
    import ensurepip, venv
    can_make_venv = True
except ImportError:
    can_make_venv = False
print(json.dumps([sys.executable, list(sys.version_info[:3]), can_make_venv]))
"""


class Interpreter(NamedTuple):
    """One Python on this machine that answered when asked."""

    executable: str
    version: tuple[int, int, int]
    can_make_venv: bool

    @property
    def name(self) -> str:
        return "Python " + ".".join(str(part) for part in self.version)


def find() -> Interpreter | str:
    """The Python to use: the running one if it is a tested version, else the newest tested one, else any newer one.

    Returns a sentence instead when there is none; it says what was found and what to install.
    """
    seen = []
    for command in _candidates():
        interpreter = ask(command)
        if interpreter is not None and interpreter not in seen:
            seen.append(interpreter)
    usable = [one for one in seen if one.version >= OLDEST]
    able = [one for one in usable if one.can_make_venv]
    tested = [one for one in able if one.version[:2] in TESTED]
    if tested or able:
        return (tested or able)[0]
    if usable:
        return (
            f"{usable[0].name} at {usable[0].executable} cannot make virtual environments: its venv and ensurepip "
            "modules are missing.\n"
            "On Debian or Ubuntu: sudo apt install python3-venv. Elsewhere: install Python from python.org."
        )
    found = ", ".join(f"{one.name} at {one.executable}" for one in seen) or "none that answers"
    return (
        f"Python 3.11, 3.12 or 3.13 is needed; found: {found}.\n"
        "Install one from python.org or your system's packages, or name it in OPD_PYTHON."
    )


def ask(command: list[str]) -> Interpreter | None:
    """Runs `command` and returns what it says of itself; None when it does not start or is no Python 3."""
    try:
        answer = subprocess.run(
            [*command, "-c", _QUESTION], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, check=True
        )
        executable, version, can_make_venv = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return Interpreter(executable, (version[0], version[1], version[2]), can_make_venv)


def _candidates() -> Iterator[list[str]]:
    chosen = os.environ.get("OPD_PYTHON")
    if chosen:
        yield [chosen]
        return
    yield [sys.executable]
    for major, minor in TESTED:
        path = shutil.which(f"python{major}.{minor}")
        if path:
            yield [path]
        if os.name == "nt" and shutil.which("py"):
            yield ["py", f"-{major}.{minor}"]
    for name in ("python3", "python"):
        path = shutil.which(name)
        if path:
            yield [path]
