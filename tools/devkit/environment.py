"""The project's virtual environment: made once, installed with the versions in `constraints.txt`.

In: `pyproject.toml`, `constraints.txt`, the pip configuration of this machine. Out: `.venv` with `opd` in it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable

from devkit import interpreters, stamps
from devkit.console import StepFailedError, say, skipped, step
from devkit.paths import ROOT, VENV, VENV_BIN, venv_program
from devkit.system import apt_install, can_use_apt

PYTHON = venv_program("python")
# Named in the same command as the package: left to itself pip takes the newest build, on Linux with
# gigabytes of CUDA libraries, and a range in pyproject.toml does not keep it from doing so.
TORCH = "torch==2.13.0"
_EXTRAS = ({"train"}, {"train", "dev"})


def set_up(extras: Iterable[str]) -> None:
    """Makes `.venv` hold the project with at least these extras; does nothing when it already does."""
    _make_venv()
    done_for = stamps.digest(_requirements(), str(ROOT), _venv_id(), os.environ.get("OPD_TORCH_INDEX", ""))
    wanted = set(extras)
    for known in _EXTRAS:
        if wanted <= known and stamps.is_fresh(_stamp(known), done_for, [venv_program("opd")]):
            skipped(f"Python packages ({', '.join(sorted(known))})")
            return
    for known in _EXTRAS:
        stamps.forget(_stamp(known))
    _explain_torch_build()
    index = os.environ.get("OPD_TORCH_INDEX")
    extra_index = ["--extra-index-url", index] if index else []
    command = pip_install(*extra_index, TORCH, "--editable", f".[{','.join(sorted(wanted))}]")
    step(
        f"Python packages ({', '.join(sorted(wanted))})",
        command,
        env=variables(),
        hint="Check the network and the free disk space (about 3 GB), then run the same command again.",
    )
    stamps.mark(_stamp(wanted), done_for)


def pip_install(*arguments: str) -> list[str]:
    """The command that installs into `.venv` with the tested versions."""
    quiet = ("--quiet", "--no-input", "--disable-pip-version-check")
    return [str(PYTHON), "-m", "pip", "install", *quiet, "-c", "constraints.txt", *arguments]


# Settings of someone else's Python; without compiled modules every process and every test file is compiled anew.
_NOT_OURS = frozenset({"PYTHONHOME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE"})


def variables() -> dict[str, str]:
    """The environment for commands of this project: its programs first on PATH, no one else's Python settings."""
    env = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
    env["VIRTUAL_ENV"] = str(VENV)
    env["PATH"] = str(VENV_BIN) + os.pathsep + env.get("PATH", "")
    env["PYTHONUTF8"] = "1"
    return env


def pip_is_configured(config_list: str) -> bool:
    """Whether the output of `pip config list` names a place of its own to take packages from."""
    return any(name in config_list for name in ("find-links", "index-url", "no-index"))


def _make_venv() -> None:
    found = interpreters.find()
    if isinstance(found, str) and "venv" in found and can_use_apt():
        apt_install("Python's venv module", ["python3-venv"])
        found = interpreters.find()
    if isinstance(found, str):
        raise StepFailedError(found)
    if found.version[:2] not in interpreters.TESTED:
        say(f"  note: {found.name} is newer than what is tested here (3.11 to 3.13)")
    label = f"Virtual environment ({found.name})"
    inputs = stamps.digest(found.name, str(VENV))
    if stamps.is_fresh("venv", inputs, [PYTHON]) and interpreters.ask([str(PYTHON)]):
        skipped(label)
        return
    stamps.forget("venv")
    if VENV.exists():
        shutil.rmtree(VENV)
    step(label, [found.executable, "-m", "venv", VENV])
    stamps.mark("venv", inputs)


def _venv_id() -> str:
    # pyvenv.cfg is rewritten when the environment is made anew, which empties it of packages.
    config = VENV / "pyvenv.cfg"
    return f"{config.stat().st_mtime_ns}"


def _requirements() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    relevant = [project["build-system"], project["project"], project["tool"]["hatch"]]
    return json.dumps(relevant, sort_keys=True) + (ROOT / "constraints.txt").read_text("utf-8")


def _stamp(extras: set[str]) -> str:
    return "packages-" + "-".join(sorted(extras))


def _explain_torch_build() -> None:
    if os.environ.get("OPD_TORCH_INDEX"):
        say("  PyTorch comes from the index in OPD_TORCH_INDEX")
        return
    answer = subprocess.run(
        [PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True, env=variables(), check=False
    )
    if pip_is_configured(answer.stdout):
        return
    has_nvidia = shutil.which("nvidia-smi") is not None
    if sys.platform.startswith("linux") and not has_nvidia:
        say("  note: no NVIDIA driver here, and the standard PyTorch for Linux brings gigabytes of CUDA libraries.")
        say("        For the small CPU build set OPD_TORCH_INDEX to the index address that PyTorch's 'Get started'")
        say("        page shows for CPU, and run this again.")
    elif sys.platform == "win32" and has_nvidia:
        say("  note: the standard PyTorch for Windows does not use the GPU. To use it set OPD_TORCH_INDEX to the")
        say("        index address that PyTorch's 'Get started' page shows for CUDA, and run this again.")
