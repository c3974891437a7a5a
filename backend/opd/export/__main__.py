"""The process of an export that the studio asked for: `python -m opd.export RUN_DIR FORM PRECISION [STEP]`."""

from __future__ import annotations

import logging
import shutil
import sys
from pathlib import Path

from opd.errors import OPDError, RunFailedError
from opd.events import RunFailure
from opd.export.work import PHASES, export_run
from opd.store.exports import ExportForm, ExportRecord, exports_path, write_record
from opd.store.runs import RunFolder

_log = logging.getLogger("opd")


def main(run: RunFolder, form: ExportForm, precision: str, step: int | None) -> int:
    """Export into the run's own folder and keep its record."""

    def say(phase: str, done: int) -> None:
        write_record(run, ExportRecord(form=form, state="running", phase=phase, done=done, total=len(PHASES)))

    folder = exports_path(run) / form
    try:
        shutil.rmtree(folder, ignore_errors=True)
        report = export_run(run, form, folder, step=step, precision=precision, say=say)
    except Exception as error:  # noqa: BLE001  # the process's outermost door: the record says what happened
        known = error if isinstance(error, OPDError) else RunFailedError(
            f"The export failed: {type(error).__name__}.", hint="The run's export.log says more."
        )  # fmt: skip
        _log.exception("The export failed")
        failure = RunFailure(code=known.code, message=known.message, hint=known.hint)
        write_record(run, ExportRecord(form=form, state="failed", error=failure))
        return known.exit_code
    done = len(PHASES)
    write_record(run, ExportRecord(form=form, state="done", done=done, total=done, report=report))
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    path, name, wanted, *rest = sys.argv[1:]
    sys.exit(main(RunFolder(Path(path)), name, wanted, int(rest[0]) if rest else None))  # type: ignore[arg-type]  # a name of ours
