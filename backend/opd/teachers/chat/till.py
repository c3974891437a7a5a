"""The one way to pay: whatever is sent to a paid teacher, of any kind, goes through `Till.pay`.

    in the cache?  → the answer, nothing is paid
    worst case held, on disk → "sent", on disk → the wire
      received     → cost and answer in one transaction
      turned away  → released; where it may pass, again from the top, never sooner than the provider asked for
      lost         → held in full as possibly paid; repeated once as another call, held in full as well

One row of the ledger is one attempt on the wire, so no retry can exceed what is reserved for it. In strict mode the
ledger refuses to repeat what may have been paid. Knows neither how a request is sent nor how its reply is read.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from opd.errors import TeacherError
from opd.pricing import Usage
from opd.store.money import CallRequest, Hit
from opd.teachers.chat.pace import Pace
from opd.teachers.chat.purse import Purse
from opd.teachers.chat.wire import Lost, TurnedAway

T = TypeVar("T")

MAX_ATTEMPTS = 6
MAX_LOST = 2
LONGEST_ASKED_WAIT_S = 300.0
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.5, 30.0


class OverchargedError(TeacherError):
    """A provider does not keep to the limits of a request, so that its worst case is none."""

    code = "teacher_overcharged"


class HaltedError(TeacherError):
    """No more requests may leave, because another one failed or the run ends."""

    code = "teacher_halted"


@dataclass(frozen=True)
class Assessed(Generic[T]):
    """A reply that was read. `billed`: None is the worst case; `problem`: what is wrong with it, for the journal."""

    value: T
    billed: Usage | None
    problem: str | None = None


@dataclass(frozen=True)
class Paid(Generic[T]):
    """What came of a request; from the cache it was paid before, and not again."""

    value: T
    from_cache: bool


class Till:
    """One teacher's way out.

    Args:
        origin: who is paid, for people.
        purse: the run's money.
        pace: shared by all who ask this teacher.
        jitter: a number from 0 to its argument, added to pauses so that many clients do not come back together.
    """

    def __init__(
        self,
        origin: str,
        *,
        purse: Purse,
        pace: Pace,
        jitter: Callable[[float], float] = lambda most: random.uniform(0, most),
    ):
        self._origin, self._purse, self._pace, self._jitter = origin, purse, pace, jitter

    def pay(self, request: CallRequest, send: Callable[[], bytes], assess: Callable[[bytes], Assessed[T]]) -> Paid[T]:
        """What the reply is worth: kept, or sent for and paid.

        Args:
            send: one attempt; gives the reply, or raises `TurnedAway` or `Lost`.
            assess: reads a reply; of the same bytes always the same.

        Raises:
            BudgetReachedError: the cap leaves no room; nothing was sent.
            TurnedAway: the provider refuses this very request.
            TeacherError: the provider cannot be used as it is.
            HaltedError: no more requests may leave.
        """
        num_turned_away = num_lost = 0
        while True:
            try:
                return self._attempt(request, send, assess)
            except TurnedAway as refusal:
                if refusal.is_about_request:
                    raise
                num_turned_away += 1
                asked_s = refusal.asked_wait_s or 0.0
                if not refusal.may_pass or num_turned_away == MAX_ATTEMPTS or asked_s > LONGEST_ASKED_WAIT_S:
                    raise refusal.error from None
                backoff_s = min(_FIRST_BACKOFF_S * 2.0 ** (num_turned_away - 1), _LONGEST_BACKOFF_S)
                self._pace.slow_down(max(backoff_s, asked_s) + self._jitter(backoff_s / 2))
            except Lost as loss:
                num_lost += 1
                if not loss.may_repeat or num_lost == MAX_LOST:
                    raise loss.error from None

    def _attempt(
        self, request: CallRequest, send: Callable[[], bytes], assess: Callable[[bytes], Assessed[T]]
    ) -> Paid[T]:
        with self._purse.call(request) as found:
            if isinstance(found, Hit):
                return Paid(assess(found.body).value, from_cache=True)
            ledger = self._purse.ledger
            is_sent = False
            try:
                with self._pace.slot() as may_leave:
                    if not may_leave:
                        raise HaltedError("Nothing more is sent to this teacher.", hint="Resume the run.")
                    ledger.sent(found.call_id)
                    is_sent = True
                    content = send()
            except TurnedAway as refusal:
                ledger.release(found.call_id, refusal.error.code)
                raise
            except Lost as loss:
                ledger.uncertain(found.call_id, loss.error.code)
                raise
            except BaseException:
                # An interrupt or a fault of ours: what was sent may be billed, what was not cannot be.
                close = ledger.uncertain if is_sent else ledger.release
                close(found.call_id, "interrupted")
                raise
            verdict = assess(content)
            settled = ledger.settle(found.call_id, verdict.billed, content, note=verdict.problem or "")
        self._pace.went_well()
        if verdict.problem == "overcharged":
            raise OverchargedError(
                f"{self._origin} charged for more tokens than the request allowed: "
                f"${settled.cost_nano_usd / 1e9:.6f}, where ${found.worst_nano_usd / 1e9:.6f} was the most.",
                hint="Look at the provider's account before you resume; the true amount is booked.",
                details={"call_id": found.call_id, "overrun_nano_usd": settled.overrun_nano_usd},
            )
        return Paid(verdict.value, from_cache=False)
