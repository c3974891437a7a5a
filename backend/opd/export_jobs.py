"""Exports that the page asks for: a child process each, into the run's own folder, one at a time for a run.

No path comes from outside: an export lies in `exports/<form>` of its run. The child's record says how far it is.
"""

from __future__ import annotations

import threading

from filelock import FileLock

from opd.errors import BusyError, NotFoundError
from opd.processes import spawn_detached
from opd.store.exports import ExportForm, ExportRecord, export_records, exports_path, write_record
from opd.store.runs import ACTIVE, RunFolder

EXPORTER = ("-P", "-m", "opd.export")
_GATE_TIMEOUT_S = 30


def start_export(run: RunFolder, form: ExportForm, *, precision: str, step: int | None) -> ExportRecord:
    """Begin an export; one of the same form that is at work is given back instead, a finished one is made anew.

    Raises:
        BusyError: the run is at work, or another export of it is.
        NotFoundError: there is no finished model, and no checkpoint was named.
        StorageError: the process could not be started.
    """
    if run.state() in ACTIVE:
        raise BusyError(f"Run {run.run_id} is at work.", hint="Export it when it has ended, or stop and save it.")
    if step is None and not (run.student_path / "config.json").is_file():
        raise NotFoundError(
            f"Run {run.run_id} has no finished model.", hint="Resume it, or export one of its checkpoints."
        )
    exports_path(run).mkdir(mode=0o700, exist_ok=True)
    with FileLock(exports_path(run) / ".lock", timeout=_GATE_TIMEOUT_S):
        at_work = running(run)
        if at_work is not None and at_work.form == form:
            return at_work
        if at_work is not None:
            raise BusyError(f"Run {run.run_id} is being exported as {at_work.form}.", hint="Wait until that has ended.")
        record = ExportRecord(form=form, state="running", phase="Starting")
        write_record(run, record, pid=_spawn(run, form, precision, step))
        return record


def running(run: RunFolder) -> ExportRecord | None:
    """The export of this run that is at work."""
    return next((record for record in export_records(run) if record.state == "running"), None)


def _spawn(run: RunFolder, form: ExportForm, precision: str, step: int | None) -> int:
    chosen = [] if step is None else [str(step)]
    child = spawn_detached(
        [*EXPORTER, str(run.path), form, precision, *chosen],
        log=run.path / "export.log",
        folder=run.path,
        whose="export",
    )
    threading.Thread(target=child.wait, daemon=True, name=f"export-{run.run_id}").start()
    return child.pid
