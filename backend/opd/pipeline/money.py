"""A run's account with the ledger: its cap, its purse, and what is spent said as an event each time it changes."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Literal, Self

from opd.config import RunConfig
from opd.estimate.projection import Projection
from opd.events import MoneySpent
from opd.pipeline.beside import LineReporter
from opd.pipeline.reporter import Reporter
from opd.store.money import Ledger, Meter
from opd.store.runs import RunFolder
from opd.teachers.chat import Purse

_PROJECTED_EVERY_S = 2.0  # while calls are open; once they are closed it is always told anew


class Account:
    """What a run pays from. Open one for each model that is paid; close it, or use it in a `with` statement.

    Args:
        stages: those that are still to come from whom it is opened for; None: all of the run's.

    Attributes:
        purse: gives permission for each call; capped as the configuration says, unless that was changed meanwhile.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        reporter: Reporter | LineReporter,
        *,
        stages: Collection[str] | None = None,
    ):
        path = folder.path.parent.parent / "money.db"
        self._reporter = reporter
        self._unit: Literal["usd", "tokens"] = "usd" if config.budget_tokens is None else "tokens"
        self._said: MoneySpent | None = None
        self._ledger = Ledger(path)
        self.purse = Purse(self._ledger, folder.run_id)
        self.purse.cap(usd=config.budget_usd, tokens=config.budget_tokens)
        self._projection = Projection.of(config, self._ledger, folder.run_id, stages=stages)
        self._projected: int | None = None
        self._projected_at = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tell(self, meter: Meter) -> None:
        """Say how the run's money stands, if that has changed; call it as often as it may have."""
        said = MoneySpent(
            spent_nano_usd=meter.spent_nano_usd,
            held_nano_usd=meter.held_nano_usd,
            saved_by_cache_nano_usd=meter.saved_nano_usd,
            num_calls=meter.num_paid,
            possibly_paid_nano_usd=meter.possibly_paid_nano_usd,
            cap_nano_usd=meter.cap_nano_usd,
            projected_nano_usd=self._project(meter),
            unit=self._unit,
        )
        if said != self._said:
            self._said = said
            self._reporter.emit(said)

    def close(self) -> None:
        """Give the ledger back."""
        self._ledger.close()

    def _project(self, meter: Meter) -> int | None:
        now = time.monotonic()
        if not meter.num_open or now - self._projected_at >= _PROJECTED_EVERY_S:
            self._projected, self._projected_at = self._projection.nano_usd(meter), now
        return self._projected
