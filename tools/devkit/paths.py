"""Where things are in a checkout."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
VENV = ROOT / ".venv"
VENV_BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
FRONTEND = ROOT / "frontend"
UI = ROOT / "backend" / "opd" / "ui"


def venv_program(name: str) -> Path:
    """Path of a program in the project's virtual environment, whether it exists or not."""
    return VENV_BIN / (f"{name}.exe" if os.name == "nt" else name)
