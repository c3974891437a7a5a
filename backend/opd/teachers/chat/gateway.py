"""The one way from an `Ask` to an `Answer`: every paid call of the program goes through `Gateway.answer`.

    in the cache?  → the answer, nothing is paid
    worst case held, on disk → "sent", on disk → the wire
      received     → cost and answer in one transaction
      turned away  → released; where it may pass, again from the top, never sooner than the provider asked for
      lost         → held in full as possibly paid; repeated once as another call, held in full as well

One row of the ledger is one attempt on the wire, so no retry can exceed what is reserved for it. In strict mode the
ledger refuses to repeat what may have been paid.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from opd.errors import TeacherError
from opd.pricing import PricedModel
from opd.store.money import CallRequest, Hit
from opd.teachers.base import Answer
from opd.teachers.chat.apis import request_body
from opd.teachers.chat.asks import Ask
from opd.teachers.chat.endpoints import Endpoint
from opd.teachers.chat.pace import Pace
from opd.teachers.chat.purse import Purse
from opd.teachers.chat.readings import assess, set_aside
from opd.teachers.chat.wire import Lost, TurnedAway, Wire

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


class Gateway:
    """One teacher's way out.

    Args:
        purse: the run's money.
        wire: the endpoint's requests.
        pace: shared by all who ask this endpoint.
        jitter: a number from 0 to its argument, added to pauses so that many clients do not come back together.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        price: PricedModel,
        *,
        purse: Purse,
        wire: Wire,
        pace: Pace,
        jitter: Callable[[float], float] = lambda most: random.uniform(0, most),
    ):
        self.endpoint, self.price = endpoint, price
        self._purse, self._wire, self._pace, self._jitter = purse, wire, pace, jitter

    def call_request(self, ask: Ask, stage: str) -> CallRequest:
        """What is booked for it."""
        return CallRequest(
            key=ask.key(self.endpoint),
            run_id=self._purse.run_id,
            stage=stage,
            teacher=self.endpoint.id,
            price=self.price,
            max_input_tokens=ask.max_input_tokens(),
            max_output_tokens=ask.max_output_tokens(self.endpoint),
        )

    def answer(self, ask: Ask, stage: str) -> Answer:
        """The teacher's answer: kept, or asked for and paid. One with a `problem` must not be trained on.

        Raises:
            BudgetReachedError: the cap leaves no room; nothing was sent.
            TeacherError: the provider cannot be used as it is.
            HaltedError: no more requests may leave.
        """
        request = self.call_request(ask, stage)
        num_turned_away = num_lost = 0
        while True:
            try:
                return self._attempt(ask, request)
            except TurnedAway as refusal:
                if refusal.is_about_request:
                    return set_aside("request_refused", refusal.error.message)
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

    def _attempt(self, ask: Ask, request: CallRequest) -> Answer:
        with self._purse.call(request) as found:
            if isinstance(found, Hit):
                return replace(assess(found.body, ask, self.endpoint, self.price).answer, from_cache=True)
            ledger = self._purse.ledger
            is_sent = False
            try:
                with self._pace.slot() as may_leave:
                    if not may_leave:
                        raise HaltedError("Nothing more is sent to this teacher.", hint="Resume the run.")
                    ledger.sent(found.call_id)
                    is_sent = True
                    content = self._wire.send(request_body(ask, self.endpoint))
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
            verdict = assess(content, ask, self.endpoint, self.price)
            settled = ledger.settle(found.call_id, verdict.billed, content, note=verdict.answer.problem or "")
        self._pace.went_well()
        if verdict.answer.problem == "overcharged":
            raise OverchargedError(
                f"{self.endpoint.origin} charged for more tokens than the request allowed: "
                f"${settled.cost_nano_usd / 1e9:.6f}, where ${found.worst_nano_usd / 1e9:.6f} was the most.",
                hint="Look at the provider's account before you resume; the true amount is booked.",
                details={"call_id": found.call_id, "overrun_nano_usd": settled.overrun_nano_usd},
            )
        return verdict.answer
