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
        hint: what the person can do about it; the class's `next_step` where it is left out.
        details: JSON-ready facts for machines (ids, line numbers, sizes); never secret values.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = EXIT_FAILED
    next_step: ClassVar[str] = "Try again; if it stays, copy the diagnostics and report them."
    """The hint where none is given: nobody is left with a message and no way on."""

    def __init__(self, message: str, *, hint: str = "", details: dict[str, object] | None = None):
        super().__init__(message)
        self.message = message
        self.hint = hint or self.next_step
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
    next_step = "Correct it and try again; nothing was started."
    exit_code = EXIT_UNUSABLE_INPUT


class ConfigError(InputError):
    """A run configuration that cannot work; refused before any model is loaded."""

    code = "config_invalid"
    next_step = "Correct these settings and try again; nothing was started."


class DataError(InputError):
    """A data file that cannot be read as chat prompts."""

    code = "data_invalid"
    next_step = "`opd data check FILE` names every line that cannot be used, and how to mend it."


class ModelNotFoundError(InputError):
    """A model id or folder that does not exist or cannot be reached."""

    code = "model_not_found"
    next_step = "Check the id on huggingface.co, or give the path of a model folder on this machine."


class UnsafeModelError(InputError):
    """A model folder refused before any loader touched it: pickles, remote code, links, bad headers."""

    code = "model_unsafe"
    next_step = "Take a version of the model in safetensors form, from its own publisher."


class ModelMismatchError(InputError):
    """Student and teacher, or model and data, do not fit together."""

    code = "model_mismatch"
    next_step = "Choose student and teacher of one model family."


class PriceUnknownError(InputError):
    """No trustworthy price for a paid teacher."""

    code = "price_unknown"
    next_step = "State the price of this teacher in the configuration, or choose one from the catalogue."


class NotFoundError(InputError):
    """A run, dataset or checkpoint id that does not exist."""

    code = "not_found"
    next_step = "Look at the list: it may have been deleted, or belong to another data folder."


# --- somebody else holds it: exit 3 --------------------------------------------------------------


class BusyError(OPDError):
    """Another studio or run holds the folder or the device."""

    code = "busy"
    next_step = "Wait until it has ended, or stop it: a stopped run can be resumed."
    exit_code = EXIT_BUSY


# --- failures of a run: exit 1 -------------------------------------------------------------------


class RunFailedError(OPDError):
    """A run that started and could not go on."""

    code = "run_failed"
    next_step = "The run's log tells more. What was saved before is kept: resume it, or start it again."


class OutOfMemoryError(RunFailedError):
    """The device's memory did not suffice; names the phase and the largest consumers."""

    code = "out_of_memory"
    next_step = "Lower micro_batch_size, then sampling.max_completion_tokens; then resume."


class DivergedError(RunFailedError):
    """Loss or gradient is no longer a finite number; the last good checkpoint is kept."""

    code = "diverged"
    next_step = "Lower the learning rate and resume from the last good checkpoint."


class CheckpointDamagedError(RunFailedError):
    """A checkpoint whose files do not match its manifest."""

    code = "checkpoint_damaged"
    next_step = "Resume: the newest checkpoint that verifies is taken."


class StorageError(RunFailedError):
    """Disk full, a failed fsync, or a database that does not verify."""

    code = "storage_failed"
    next_step = "Free space on the disk of the data folder and check its permissions; then try again."


class TeacherError(RunFailedError):
    """The teacher did not answer, answered wrongly, or answered as another model."""

    code = "teacher_failed"
    next_step = (
        "Look at the teacher: is it up, is its key valid? Then resume; nothing that was answered is asked again."
    )


class TeacherAwayError(TeacherError):
    """The teacher cannot be asked at present; the run is saved, paused and resumable."""

    code = "teacher_away"


class NotWaitedForError(TeacherAwayError):
    """The run is to end, and the teacher did not answer in the moment that it was given."""

    code = "teacher_not_waited_for"
    next_step = "Resume the run: it asks again."


class BudgetReachedError(RunFailedError):
    """The spend cap is reached; the run is saved, paused and resumable."""

    code = "budget_reached"
    next_step = "Raise the spend cap and resume, or keep the student as it is."


class VerificationError(RunFailedError):
    """An export or artefact that does not behave like its source."""

    code = "verification_failed"
    next_step = "Do not use this artefact. Make it again; if that fails too, report it with the diagnostics."


class PausedForReviewError(RunFailedError):
    """The run waits until a person has read something; resuming goes on."""

    code = "paused_for_review"
    next_step = "Read what is waiting for you in the studio, then resume."
