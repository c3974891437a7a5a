"""The system's own packages, where this user may install them: root on Debian and nowhere else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from devkit.console import step

_OS_RELEASE = Path("/etc/os-release")


def can_use_apt() -> bool:
    """Whether packages can be installed here without asking anybody: root on Debian itself.

    Derivatives are left out: their `chromium` is often a stub that wants snap.
    """
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return is_root and shutil.which("apt-get") is not None and is_debian(_OS_RELEASE)


def is_debian(os_release: Path) -> bool:
    """Whether this os-release file says `ID=debian`."""
    return os_release.is_file() and "ID=debian" in os_release.read_text("utf-8", "replace").splitlines()


def apt_install(what: str, packages: Sequence[str]) -> None:
    """Installs Debian packages. Raises StepFailedError when apt cannot."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    step("Debian's package lists", ["apt-get", "update", "-q"], env=env)
    command = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages]
    step(f"{what} (Debian)", command, env=env)
