"""The error tree: every failure a person can meet, each with a code, a hint and an exit code.

A message says what was found and what was expected; the hint says what to do next. Errors carry no
tracebacks and no secrets: they are shown as they are in the terminal, in the REST answer and on the page.

Doors (CLI, API handlers, the pipeline) catch `OPDError`; nothing else in the tree does.
"""

from __future__ import annotations

from typing import ClassVar

EXIT_FAILED = 1
EXIT_UNUSABLE_INPUT = 2
EXIT_BUSY = 3
EXIT_INTERRUPTED = 130


class OPDError(Exception):
    """Root of the tree.

    Args:
        message: what was found, and what was expected.
        hint: what the person can do about it.
        details: JSON-ready facts for machines (ids, line numbers, sizes); never secret values.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = EXIT_FAILED

    def __init__(self, message: str, *, hint: str = "", details: dict[str, object] | None = None):
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details or {}

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def as_dict(self) -> dict[str, object]:
        """The error as one JSON object: code, message, hint, details."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "details": self.details}


# --- unusable input: exit 2, nothing was started -------------------------------------------------


class InputError(OPDError):
    """What the person gave cannot be used as it is."""

    code = "input_unusable"
    exit_code = EXIT_UNUSABLE_INPUT


class ConfigError(InputError):
    """A run configuration that cannot work; refused before any model is loaded."""

    code = "config_invalid"


class DataError(InputError):
    """A data file that cannot be read as chat prompts."""

    code = "data_invalid"


class ModelNotFoundError(InputError):
    """A model id or folder that does not exist or cannot be reached."""

    code = "model_not_found"


class UnsafeModelError(InputError):
    """A model folder refused before any loader touched it: pickles, remote code, links, bad headers."""

    code = "model_unsafe"


class ModelMismatchError(InputError):
    """Student and teacher, or model and data, do not fit together."""

    code = "model_mismatch"


class PriceUnknownError(InputError):
    """No trustworthy price for a paid teacher."""

    code = "price_unknown"


class NotFoundError(InputError):
    """A run, dataset or checkpoint id that does not exist."""

    code = "not_found"


# --- somebody else holds it: exit 3 --------------------------------------------------------------


class BusyError(OPDError):
    """Another studio or run holds the folder or the device."""

    code = "busy"
    exit_code = EXIT_BUSY


# --- failures of a run: exit 1 -------------------------------------------------------------------


class RunFailedError(OPDError):
    """A run that started and could not go on."""

    code = "run_failed"


class OutOfMemoryError(RunFailedError):
    """The device's memory did not suffice; names the phase and the largest consumers."""

    code = "out_of_memory"


class DivergedError(RunFailedError):
    """Loss or gradient is no longer a finite number; the last good checkpoint is kept."""

    code = "diverged"


class CheckpointDamagedError(RunFailedError):
    """A checkpoint whose files do not match its manifest."""

    code = "checkpoint_damaged"


class StorageError(RunFailedError):
    """Disk full, a failed fsync, or a database that does not verify."""

    code = "storage_failed"


class TeacherError(RunFailedError):
    """The teacher did not answer, answered wrongly, or answered as another model."""

    code = "teacher_failed"


class BudgetReachedError(RunFailedError):
    """The spend cap is reached; the run is saved, paused and resumable."""

    code = "budget_reached"


class VerificationError(RunFailedError):
    """An export or artefact that does not behave like its source."""

    code = "verification_failed"
