"""Facts about this machine: versions, device, memory, disk. Never loads a training package.

In: the data folder. Out: a `Machine`. GPUs are asked through `nvidia-smi`, Apple's through the platform's name.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import psutil
from pydantic import BaseModel, ConfigDict

from opd import __version__

TRAINING_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "safetensors")
_SERVER_PACKAGES = ("fastapi", "uvicorn", "websockets", "pydantic", "openai", "anthropic", "genai-prices")


class MachineFact(BaseModel):
    """Base of the facts: frozen, unknown keys refused."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        json_schema_serialization_defaults_required=True,
    )


class Device(MachineFact):
    """Where models would run when the configuration says auto."""

    kind: Literal["cpu", "cuda", "mps"]
    name: str
    memory_total_bytes: int
    """Memory that models can use: the GPU's own, or the machine's where it is shared."""
    memory_available_bytes: int


class Machine(MachineFact):
    """This machine, as far as a run is concerned."""

    version: str
    """Version of OPD Studio."""
    python: str
    platform: str
    num_cores: int
    """Physical cores."""
    device: Device
    memory_total_bytes: int
    memory_available_bytes: int
    disk_total_bytes: int
    disk_free_bytes: int
    """Free space where runs are kept."""
    data_dir: str
    packages: dict[str, str | None]
    """Versions of the packages that matter; null for one that is not installed."""
    can_train: bool
    """Whether the training packages are installed."""


def describe_machine(data_dir: Path) -> Machine:
    """This machine as of now; `data_dir` says which disk matters."""
    memory = psutil.virtual_memory()
    disk = shutil.disk_usage(existing_parent(data_dir))
    return Machine(
        version=__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        num_cores=num_cores(),
        device=find_device(),
        memory_total_bytes=memory.total,
        memory_available_bytes=memory.available,
        disk_total_bytes=disk.total,
        disk_free_bytes=disk.free,
        data_dir=str(data_dir),
        packages=dict(package_versions()),
        can_train=can_train(),
    )


def existing_parent(path: Path) -> Path:
    """`path`, or the nearest folder above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def num_cores() -> int:
    """Physical cores that this process may use."""
    return max(1, min(psutil.cpu_count(logical=False) or 1, len(_usable_cores())))


def find_device() -> Device:
    """The device that `device: auto` takes: a CUDA GPU, else Apple's, else the processor."""
    memory = psutil.virtual_memory()
    gpu = _nvidia_gpu()
    if gpu is not None:
        return gpu
    is_apple = platform.system() == "Darwin" and platform.machine() == "arm64"
    return Device(
        kind="mps" if is_apple else "cpu",
        name=f"Apple {platform.machine()}" if is_apple else platform.processor() or platform.machine(),
        memory_total_bytes=memory.total,
        memory_available_bytes=memory.available,
    )


def can_train() -> bool:
    """Whether the training packages are installed; looks for them without importing them."""
    return not missing_training_packages()


def missing_training_packages() -> list[str]:
    """Names of training packages that are not installed."""
    return [name for name in TRAINING_PACKAGES if find_spec(name) is None]


@lru_cache(maxsize=1)
def package_versions() -> tuple[tuple[str, str | None], ...]:
    """Versions of the packages that matter, None where one is not installed."""
    return tuple((name, _version(name)) for name in (*_SERVER_PACKAGES, *TRAINING_PACKAGES))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _usable_cores() -> list[int]:
    me = psutil.Process()
    return list(me.cpu_affinity() or []) if hasattr(me, "cpu_affinity") else list(range(psutil.cpu_count() or 1))


def _nvidia_gpu() -> Device | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
        name, total, free = (part.strip() for part in done.stdout.splitlines()[0].rsplit(",", 2))
        return Device(
            kind="cuda",
            name=name,
            memory_total_bytes=int(total) * 2**20,
            memory_available_bytes=int(free) * 2**20,
        )
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None  # a driver that does not answer is a machine without a usable GPU
