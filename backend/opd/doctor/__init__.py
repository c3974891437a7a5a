"""Is this installation in order? Facts about the machine, each with what to do about it.

In: the data folder. Out: a list of `Check`s. Never loads a training package and never shows a key, only whether it is
there. The second half, `installation.py`, tries the product's parts that need no ML package.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sqlite3
import stat
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Literal

import opd
from opd.data_loader import check_file
from opd.errors import OPDError
from opd.keys import Keys
from opd.machine import (
    TRAINING_PACKAGES,
    existing_parent,
    find_device,
    missing_training_packages,
    package_versions,
)
from opd.presets import bundled_models, example_data
from opd.pricing import price_data_date
from opd.store.files import data_dir as default_data_dir

Status = Literal["ok", "warn", "fail"]

GIB = 2**30
MIN_FREE_BYTES = 1 * GIB
COMFORTABLE_FREE_BYTES = 10 * GIB
NEWEST_TESTED_PYTHON = (3, 13)
PRICE_WARNING_DAYS = 30
PRICE_REFUSAL_DAYS = 90
TRL_SERIES = "1.16."


@dataclass(frozen=True, slots=True)
class Check:
    """One fact. `fix` says what to do and is empty when all is well; only `fail` stops the product from working."""

    name: str
    status: Status
    detail: str
    fix: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def run_checks(data_dir: Path | None = None) -> list[Check]:
    """All checks, in the order in which a person would want them.

    Args:
        data_dir: folder of runs and databases; None is the usual one.
    """
    folder = data_dir or default_data_dir()
    checks: list[Callable[[], Check]] = [
        check_python,
        check_packages,
        check_training_packages,
        check_device,
        lambda: check_data_dir(folder),
        lambda: check_database(folder),
        lambda: check_disk(folder),
        check_ui,
        check_bundled_models,
        check_examples,
        check_prices,
        lambda: check_keys(folder),
    ]
    return [check() for check in checks]


def render_checks(checks: list[Check]) -> str:
    """The checks as text, one or two lines each, and a verdict."""
    marks = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{marks[check.status]}  {check.name:{width}}  {check.detail}")
        if check.fix:
            lines.append(f"      {'':{width}}  {check.fix}")
    failed = sum(check.status == "fail" for check in checks)
    lines.append(f"{failed} of {len(checks)} checks failed." if failed else "This installation is in order.")
    return "\n".join(lines)


# --- software ---------------------------------------------------------------------------------------


def check_python() -> Check:
    """The interpreter's version; 3.11 to 3.13 are tested."""
    found = f"{platform.python_version()} ({platform.python_implementation()}, {platform.machine()})"
    if sys.version_info[:2] > NEWEST_TESTED_PYTHON:
        newest = ".".join(map(str, NEWEST_TESTED_PYTHON))
        return Check("Python", "warn", found, f"Tested up to {newest}; use that if a package refuses to install.")
    return Check("Python", "ok", found)


def check_packages() -> Check:
    """Packages that every command needs."""
    needed = {name: found for name, found in package_versions() if name not in TRAINING_PACKAGES}
    missing = [name for name, found in needed.items() if found is None]
    missing += [name for name in _declared_packages() if name not in missing and not _is_installed(name)]
    if missing:
        fix = "Install the package again: pip install -e . (or run `make studio`)."
        return Check("Packages", "fail", f"missing: {', '.join(missing)}", fix)
    return Check("Packages", "ok", ", ".join(f"{name} {found}" for name, found in needed.items()))


def _declared_packages() -> list[str]:
    """What the installed distribution says it needs; empty when it runs from a bare checkout."""
    try:
        declared = metadata.requires("opd-studio") or []
    except metadata.PackageNotFoundError:
        return []
    return [re.split(r"[^A-Za-z0-9._-]", line)[0] for line in declared if ";" not in line]


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def check_training_packages() -> Check:
    """Packages of the `train` extra, without importing one."""
    missing = missing_training_packages()
    if missing:
        detail = f"missing: {', '.join(missing)}; data checks, estimates and the studio work without them"
        return Check("Training", "warn", detail, 'To train on this machine: pip install -e ".[train]".')
    versions = {name: found or "?" for name, found in package_versions() if name in TRAINING_PACKAGES}
    detail = ", ".join(f"{name} {found}" for name, found in versions.items())
    if not versions["trl"].startswith(TRL_SERIES):
        return Check("Training", "fail", detail, f'Install the tested series: pip install "trl=={TRL_SERIES}*".')
    return Check("Training", "ok", detail)


def check_device() -> Check:
    """Where models would run, and whether the installed torch can use it."""
    device = find_device()
    detail = f"{device.kind}: {device.name}, {device.memory_total_bytes / GIB:.1f} GiB"
    torch = dict(package_versions()).get("torch") or ""
    if device.kind == "cuda" and torch.endswith("+cpu"):
        fix = "The installed torch is the CPU build; install the CUDA build to use this GPU."
        return Check("Device", "warn", detail, fix)
    if device.kind == "cpu":
        return Check("Device", "ok", detail + "; enough for the demo and models up to about 1 B parameters")
    return Check("Device", "ok", detail)


def check_ui() -> Check:
    """Whether the pages are built."""
    index = Path(opd.__file__).parent / "ui" / "index.html"
    if index.is_file():
        return Check("Pages", "ok", f"built, {sum(1 for _ in index.parent.rglob('*'))} files")
    return Check("Pages", "warn", "not built; commands work, the studio has no pages", "Run `make studio`.")


def check_bundled_models() -> Check:
    """Whether the demo's two models are there."""
    models = bundled_models()
    missing = [label for path, label in models if not (path / "model.safetensors").is_file()]
    if models and not missing:
        return Check("Demo models", "ok", ", ".join(label for _, label in models))
    found = f"missing: {', '.join(missing)}" if missing else "not installed"
    return Check("Demo models", "warn", found, "Build them (minutes on 2 cores): opd demo build-models.")


def check_examples() -> Check:
    """Whether the example data is there and sound."""
    files = example_data()
    broken = [name for path, name in files.items() if not check_file(path).ok]
    if broken or not files:
        found = f"damaged: {', '.join(broken)}" if broken else "not found"
        return Check("Example data", "warn", found, "Install the package again.")
    return Check(
        "Example data", "ok", ", ".join(f"{name} ({check_file(path).num_samples})" for path, name in files.items())
    )


def check_prices() -> Check:
    """How old the price data is."""
    day = price_data_date()
    age = (datetime.now(UTC).date() - day).days
    detail = f"of {day} or later ({age} days)"
    fix = "Update it: pip install -U genai-prices."
    if age > PRICE_REFUSAL_DAYS:
        return Check("Prices", "warn", f"{detail}; runs with a paid teacher will ask for a price", fix)
    return Check("Prices", "warn", detail, fix) if age > PRICE_WARNING_DAYS else Check("Prices", "ok", detail)


# --- disk and keys ----------------------------------------------------------------------------------


def check_data_dir(folder: Path) -> Check:
    """Whether runs can be written: really writes and removes a file."""
    detail = str(folder)
    try:
        parent = existing_parent(folder)
        detail += "" if parent == folder else " (will be created)"
        with tempfile.NamedTemporaryFile(dir=parent, prefix=".opd-doctor-") as file:
            file.write(b"written by opd doctor")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        fix = "Make it writable, or set OPD_DATA_DIR to another folder."
        return Check("Data folder", "fail", f"{detail}: cannot be written ({error.strerror})", fix)
    return Check("Data folder", "ok", detail)


def check_database(folder: Path) -> Check:
    """Whether SQLite's write-ahead log works there; on many network drives it does not."""
    found = f"SQLite {sqlite3.sqlite_version}"
    try:
        with tempfile.TemporaryDirectory(dir=existing_parent(folder), prefix=".opd-doctor-") as scratch:
            connection = sqlite3.connect(Path(scratch) / "probe.db")
            try:
                (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
                connection.execute("CREATE TABLE probe (x)")
                connection.commit()
            finally:
                connection.close()
    except (OSError, sqlite3.Error) as error:
        fix = "Set OPD_DATA_DIR to a folder on a local disk."
        return Check("Database", "fail", f"{found} cannot write there ({error})", fix)
    if mode != "wal":
        return Check("Database", "fail", f"{found} without write-ahead log", "Set OPD_DATA_DIR to a local disk.")
    return Check("Database", "ok", f"{found}, write-ahead log works")


def check_disk(folder: Path) -> Check:
    """Free space where runs are kept."""
    try:
        free = shutil.disk_usage(existing_parent(folder)).free
    except OSError as error:
        return Check("Disk", "fail", f"unknown ({error.strerror})", "Set OPD_DATA_DIR to a folder that you may enter.")
    detail = f"{free / GIB:.1f} GiB free"
    fix = "Free some space, delete old runs (`opd runs delete`), or set OPD_DATA_DIR to a larger disk."
    if free < MIN_FREE_BYTES:
        return Check("Disk", "fail", detail, fix)
    return Check("Disk", "warn", detail, fix) if free < COMFORTABLE_FREE_BYTES else Check("Disk", "ok", detail)


def check_keys(folder: Path) -> Check:
    """Which providers have a key, and where it is kept; never what it is."""
    try:
        present = [key for key in Keys(folder).presence() if key.present]
    except OPDError as error:
        return Check("Keys", "warn", error.message, error.hint)
    if not present:
        return Check("Keys", "ok", "none; needed only for paid teachers and private models")
    detail = ", ".join(f"{key.provider} ({key.source})" for key in present)
    file = folder / "keys.json"
    if os.name == "posix" and file.is_file() and stat.S_IMODE(file.stat().st_mode) & 0o077:
        return Check("Keys", "warn", f"{detail}; the key file is readable by others", f"Run: chmod 600 {file}")
    return Check("Keys", "ok", detail)
