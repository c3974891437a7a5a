"""What a run has spent, said as an event each time it changes."""

from __future__ import annotations

from typing import Literal

from opd.config import RunConfig
from opd.events import MoneySpent
from opd.pipeline.beside import LineReporter
from opd.pipeline.reporter import Reporter
from opd.store.money import Meter


class MoneyTeller:
    """Call it with the state of the run's money, as often as it may have changed."""

    def __init__(self, reporter: Reporter | LineReporter, config: RunConfig):
        self._reporter = reporter
        self._unit: Literal["usd", "tokens"] = "usd" if config.budget_tokens is None else "tokens"
        self._said: MoneySpent | None = None

    def __call__(self, meter: Meter) -> None:
        said = MoneySpent(
            spent_nano_usd=meter.spent_nano_usd,
            held_nano_usd=meter.held_nano_usd,
            saved_by_cache_nano_usd=meter.saved_nano_usd,
            num_calls=meter.num_paid,
            possibly_paid_nano_usd=meter.possibly_paid_nano_usd,
            cap_nano_usd=meter.cap_nano_usd,
            unit=self._unit,
        )
        if said != self._said:
            self._said = said
            self._reporter.emit(said)
