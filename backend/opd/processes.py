"""Processes that outlive whoever started them: what they may see of our environment, and how a key reaches them.

In: arguments of the interpreter, a folder and a log. Out: a process in a session of its own. Knows nothing of runs;
runs, exports and conversations are all started here.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import opd
from opd.errors import StorageError

# What such a process may see of our environment: where things are and how to compute. No keys and no tokens.
_ALLOWED = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TERM", "TMPDIR", "TEMP", "TMP", "SHELL",
        "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "APPDATA", "LOCALAPPDATA", "USERPROFILE",
        "PROGRAMDATA", "NUMBER_OF_PROCESSORS", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LD_PRELOAD",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY",
        "NO_PROXY", "HF_HOME", "HF_ENDPOINT", "CC", "CXX",
    }
)  # fmt: skip
_ALLOWED_PREFIXES = (
    "LC_", "XDG_", "OMP_", "MKL_", "OPENBLAS_", "KMP_", "CUDA_", "NVIDIA_", "NCCL_", "TORCH", "PYTORCH_", "TRITON_",
    "HF_HUB_", "HF_DATASETS_", "TRANSFORMERS_", "TRL_", "TOKENIZERS_", "OPD_", "PYTHON",
)  # fmt: skip
_SECRET_WORDS = frozenset({"KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIALS"})


def child_environment() -> dict[str, str]:
    """Our environment less everything that is not known to be harmless; the package's own folder is on the path."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if (name.upper() in _ALLOWED or name.upper().startswith(_ALLOWED_PREFIXES))
        and _SECRET_WORDS.isdisjoint(name.upper().split("_"))
    }
    package_root = str(Path(opd.__file__).resolve().parents[1])
    others = [str(Path(p).resolve()) for p in kept.get("PYTHONPATH", "").split(os.pathsep) if p]
    kept["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([package_root, *others]))
    kept["PYTHONUNBUFFERED"] = "1"
    return kept


def spawn_detached(
    arguments: Sequence[str], *, log: Path, folder: Path, whose: str, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """A Python process in a session of its own, which outlives its studio.

    Args:
        arguments: of the interpreter.
        log: what it prints is appended there.
        folder: where it works.
        whose: run, export or conversation, for the message.

    Raises:
        StorageError: it could not be started.
    """
    try:
        with log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, *arguments],
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=child_environment(),
                cwd=folder,
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
    except OSError as error:
        raise StorageError(
            f"The {whose}'s process could not be started: {error.strerror}.", hint="Free memory or disk and try again."
        ) from None


def hand_over_keys(child: subprocess.Popen[bytes], keys: dict[str, str]) -> None:
    """One JSON line on the child's stdin: in no argument list, environment, file or log."""
    assert child.stdin is not None  # noqa: S101 - opened as a pipe by the caller
    with contextlib.suppress(BrokenPipeError), child.stdin as pipe:
        pipe.write(json.dumps(keys).encode() + b"\n")
