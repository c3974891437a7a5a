"""From an `Ask` to an `Answer`: what is booked for it, how it is sent and read. The till does the paying."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from opd.pricing import PricedModel
from opd.store.money import CallRequest
from opd.teachers.base import Answer
from opd.teachers.chat.apis import request_body
from opd.teachers.chat.asks import Ask
from opd.teachers.chat.endpoints import Endpoint
from opd.teachers.chat.pace import Pace
from opd.teachers.chat.purse import Purse
from opd.teachers.chat.readings import assess, set_aside
from opd.teachers.chat.till import Assessed, Till
from opd.teachers.chat.wire import TurnedAway, Wire


class Gateway:
    """One chat teacher's way out.

    Args:
        purse: the run's money.
        wire: the endpoint's requests.
        pace: shared by all who ask this endpoint.
    """

    def __init__(self, endpoint: Endpoint, price: PricedModel, *, purse: Purse, wire: Wire, pace: Pace):
        self.endpoint, self.price = endpoint, price
        self._run_id, self._wire = purse.run_id, wire
        self._till = Till(endpoint.origin, purse=purse, pace=pace)

    def call_request(self, ask: Ask, stage: str) -> CallRequest:
        """What is booked for it."""
        return CallRequest(
            key=ask.key(self.endpoint),
            run_id=self._run_id,
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
        try:
            paid = self._till.pay(
                self.call_request(ask, stage),
                lambda: self._wire.send(request_body(ask, self.endpoint)),
                self._reader(ask),
            )
        except TurnedAway as refusal:
            return set_aside("request_refused", refusal.error.message)
        return replace(paid.value, from_cache=True) if paid.from_cache else paid.value

    def _reader(self, ask: Ask) -> Callable[[bytes], Assessed[Answer]]:
        def read(content: bytes) -> Assessed[Answer]:
            verdict = assess(content, ask, self.endpoint, self.price)
            return Assessed(verdict.answer, verdict.billed, verdict.answer.problem)

        return read
