"""A run's money: its cap, and permission for each call. All teachers of a run share one.

In: calls that are about to be made. Out: permission, an answer that was paid before, or `BudgetReachedError`. The
ledger decides; this adds patience: where only the money held by this run's own calls stands in the way, the call
waits until one of them is settled, usually for much less than its worst case.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from opd.errors import BudgetReachedError
from opd.pricing import NANO_PER_USD
from opd.store.money import CallRequest, Hit, Ledger, Meter, Reservation

_LONGEST_WAIT_S = 24 * 3600.0  # for the same question of another run; its own deadlines end it long before


class Purse:
    """The budget of one run.

    Args:
        ledger: open, and closed by whoever opened it.
        run_id: names the run's budget and rows.
    """

    def __init__(self, ledger: Ledger, run_id: str):
        self.ledger, self.run_id = ledger, run_id
        self._changed = threading.Condition()
        self._num_claiming = self._num_open = self._num_closed = 0

    def cap(self, *, usd: float | None = None, tokens: int | None = None) -> None:
        """Give the run its cap, unless it has one: a cap that was raised meanwhile stays.

        Args:
            tokens: for a teacher without a price; see `opd.teachers.chat.endpoints.tokens_as_price`.
        """
        if not self.ledger.run_meter(self.run_id).cap_nano_usd:
            cap = tokens if tokens is not None else round((usd or 0.0) * NANO_PER_USD)
            self.ledger.set_run_cap(self.run_id, cap)

    def meter(self) -> Meter:
        """What is spent and held now."""
        return self.ledger.run_meter(self.run_id)

    @contextmanager
    def call(self, request: CallRequest) -> Iterator[Hit | Reservation]:
        """Permission for one call; the block ends when the call is settled, released or uncertain.

        Raises:
            BudgetReachedError: there is no room for its worst case, and none will come from calls under way.
            TeacherError, LedgerError: as `Ledger.claim`.
        """
        found = self._claim(request)
        if isinstance(found, Hit):
            yield found
            return
        try:
            yield found
        finally:
            with self._changed:
                self._num_open -= 1
                self._num_closed += 1
                self._changed.notify_all()

    def _claim(self, request: CallRequest) -> Hit | Reservation:
        while True:
            with self._changed:
                num_closed = self._num_closed
            try:
                with self._claiming():
                    found = self.ledger.claim(request, wait_s=_LONGEST_WAIT_S)
                    if isinstance(found, Reservation):
                        with self._changed:
                            self._num_open += 1
                    return found
            except BudgetReachedError:
                if not self._wait_for_one(num_closed):
                    raise

    @contextmanager
    def _claiming(self) -> Iterator[None]:
        """A call whose money may be held already and which is not counted as open yet."""
        with self._changed:
            self._num_claiming += 1
        try:
            yield
        finally:
            with self._changed:
                self._num_claiming -= 1
                self._changed.notify_all()

    def _wait_for_one(self, num_closed: int) -> bool:
        """Whether a call of ours ends, or has ended since `num_closed` were counted."""
        with self._changed:
            while (self._num_open or self._num_claiming) and self._num_closed == num_closed:
                self._changed.wait()
            return self._num_closed != num_closed
