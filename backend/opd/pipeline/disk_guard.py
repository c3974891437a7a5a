"""Looks at the free space before the first step and every checkpoint: a full disk is met while it is harmless."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from opd.errors import StorageError
from opd.events import AlarmRaised
from opd.pipeline.beside import LineReporter
from opd.pipeline.reporter import Reporter
from opd.training import checkpoint


class DiskGuard:
    """Looks at the free space before the first step and every checkpoint.

    A disk that is filled to the last byte takes the log with it; and hours of work need a place to go.
    """

    def __init__(self, root: Path, reporter: Reporter | LineReporter, model: Any):
        self._root, self._reporter, self._warned = root, reporter, False
        learned = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
        self._expected = 3 * learned  # the weights and AdamW's two moments of each

    def look(self, step: int) -> None:
        """Warn once when two more checkpoints would not fit.

        Raises:
            StorageError: not even one fits; nothing was written.
        """
        needed = checkpoint.last_size(self._root) or self._expected
        self._root.mkdir(exist_ok=True)
        free = shutil.disk_usage(self._root).free
        found = f"{free / 1e6:,.0f} MB are free, a checkpoint takes {needed / 1e6:,.0f} MB."
        if free < needed:
            raise StorageError(
                f"There is no room for a checkpoint at step {step}: {found}",
                hint="Free disk space (`opd runs delete`) and resume: what was saved before is whole.",
                details={"step": step, "free_bytes": free, "needed_bytes": needed},
            )
        if free < 2 * needed and not self._warned:
            self._reporter.emit(
                AlarmRaised(
                    code="disk_low",
                    severity="warning",
                    step=step,
                    what="The disk is almost full.",
                    why=found,
                    advice="Free disk space, for example with `opd runs delete`; without room the run pauses.",
                )
            )
        self._warned = free < 2 * needed
