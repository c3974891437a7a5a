"""A run from its folder to its verdict, in this process. `_walk` reads like the path of the data:

    prompts → models → held-out measurement → (teacher answers → warm start) → distillation → measurement
            → (baseline → its measurement) → verdict and report

A resumed run walks the same path: stages that are complete are read from the folder, the one that was under way goes
on from its newest verified checkpoint. However it ends, the folder says so, and the exit code too.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Mapping
from typing import Any

from opd.errors import (
    EXIT_INTERRUPTED,
    BudgetReachedError,
    InputError,
    OPDError,
    PausedForReviewError,
    RunFailedError,
    StorageError,
    TeacherAwayError,
)
from opd.events import AlarmRaised, Outcome, Phase, RunEvent, RunFailure, RunFinished
from opd.pipeline.out_of_memory import out_of_memory
from opd.pipeline.reporter import Reporter, StopRequested
from opd.store.runs import RunFolder

_log = logging.getLogger("opd")
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})


def run_folder(
    folder: RunFolder,
    *,
    keys: Mapping[str, str] | None = None,
    observe: Callable[[RunEvent], None] | None = None,
    take_signals: bool = False,
) -> int:
    """Run or resume a folder to its end.

    Args:
        keys: provider name → API key, for paid teachers; never written anywhere.
        observe: called with every event; for a terminal that shows the run.
        take_signals: Ctrl-C and SIGTERM stop and save; for a process that does nothing else.

    Returns:
        The exit code: 0 done, 1 failed or paused, 2 unusable input, 130 stopped and saved.

    Raises:
        BusyError: another process is at this run.
    """
    lock = folder.begin()
    try:
        reporter = Reporter(folder, observe)
        try:
            if take_signals:
                reporter.listen()
            return _run_to_end(folder, reporter, keys or {})
        finally:
            reporter.close()
    except StorageError as error:  # the log itself cannot be opened, so only the folder can say so
        _log.exception("The run's event log cannot be used")
        _record_end(folder, "failed", 0, RunFailure(code=error.code, message=error.message, hint=error.hint))
        return error.exit_code
    finally:
        lock.release()


def _run_to_end(folder: RunFolder, reporter: Reporter, keys: Mapping[str, str]) -> int:
    outcome: Outcome = "done"
    failure: OPDError | None = None
    reason, code = "", 0
    if (last_step := _done_at(folder, reporter.seq)) is not None:
        _record_end(folder, "done", last_step, None)
        return 0
    try:
        # Imported here: torch and its friends take seconds, and whoever asks only for the exit code needs none.
        from opd.pipeline.walk import walk

        walk(folder, reporter, keys)
    except StopRequested as stop:
        outcome, code = "stopped", EXIT_INTERRUPTED
        reason = (
            "Stopped and saved." if stop.mode == "save" else "Stopped without saving: earlier checkpoints are kept."
        )
    except (StorageError, BudgetReachedError, PausedForReviewError, TeacherAwayError) as error:
        outcome, failure = "paused", error
        _log.error("The run pauses: %s", error)
    except OPDError as error:
        outcome, failure = "failed", error
    except Exception as error:  # noqa: BLE001  # the run's outermost door: whatever happens, the folder says so
        failure = _translated(error, folder, reporter.current_phase)
        outcome = "paused" if isinstance(failure, StorageError) else "failed"
        _log.exception("The run failed")
    step = folder.summary().step
    record = _record(failure) if failure else None
    last: list[RunEvent] = [RunFinished(outcome=outcome, step=step, reason=reason, error=record)]
    if outcome == "paused" and failure is not None:
        last.insert(0, _alarm(failure, step))
    try:
        reporter.emit(*last)
    except StorageError:  # a disk without room for a checkpoint may have none for the log either
        _log.exception("The run's end is not in its event log")
    _record_end(folder, outcome, step, record)
    return failure.exit_code if failure else code


def _record(failure: OPDError) -> RunFailure:
    fixes: Any = failure.details.get("fixes", ())
    return RunFailure(code=failure.code, message=failure.message, hint=failure.hint, fixes=tuple(fixes))


def _done_at(folder: RunFolder, seq: int) -> int | None:
    """The last step of a run that has said that it is done, and was killed before the folder had it; else None."""
    with folder.reader() as reader:
        last = [stored.event for stored in reader.read(seq - 1)] if seq else []
    return last[0].step if last and isinstance(last[0], RunFinished) and last[0].outcome == "done" else None


def _record_end(folder: RunFolder, outcome: Outcome, step: int, record: RunFailure | None) -> None:
    """Write the exit record if the disk still takes it; without one the run counts as interrupted, which is true."""
    try:
        folder.end(outcome, step=step, error=record)
    except OSError:
        _log.exception("The run's end could not be recorded")


def _alarm(failure: OPDError, step: int) -> AlarmRaised:
    return AlarmRaised(
        code=failure.code,
        severity="critical",
        step=step,
        what="The run has paused.",
        why=failure.message,
        advice=failure.hint,
    )


def _translated(error: Exception, folder: RunFolder, phase: Phase) -> OPDError:
    """An unexpected error in the project's words."""
    text = str(error)
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        return StorageError(
            f"The disk did not take what the run wrote: {error.strerror}.",
            hint="Free disk space or check the disk, then resume: the last checkpoint is whole.",
        )
    if isinstance(error, MemoryError) or "out of memory" in text.lower() or "can't allocate memory" in text.lower():
        return out_of_memory(folder, phase)
    if isinstance(error, (ValueError, KeyError)) and "does not recognize this architecture" in text:
        return InputError("This model's architecture is not known to the installed Transformers.", hint="Update it.")
    return RunFailedError(
        f"Something unexpected happened: {type(error).__name__}: {text.splitlines()[0][:300] if text else ''}",
        hint="The run's log.txt has the details. Its last checkpoint is kept; you can resume.",
    )
