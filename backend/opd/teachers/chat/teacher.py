"""A chat API as a teacher: many questions at once, answers in order.

In: `Ask`s, and the run's purse. Out: `Answer`s. On a failure nothing more is sent, what is under way is waited for and
kept (it is paid), and then the failure is raised: whoever asks again pays nothing twice.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self

from opd.config import ChatModel, SignalKind
from opd.errors import NotWaitedForError, TeacherError
from opd.pricing import PricedModel
from opd.store.money import Meter
from opd.teachers.base import Answer, AnswerSampling, Message, NoScoresError, Rollouts, TeacherSignal
from opd.teachers.chat.asks import Ask
from opd.teachers.chat.endpoints import Endpoint, endpoint_of
from opd.teachers.chat.gateway import Gateway
from opd.teachers.chat.pace import Clock, Pace
from opd.teachers.chat.purse import Purse
from opd.teachers.chat.wire import Wire

Progress = Callable[[int, int | None], None]
_TICK_S = 0.25
_GRACE_S = 5.0
_FEWEST_SET_ASIDE = 8


class UnusableTeacherError(TeacherError):
    """Most answers cannot be trained on: going on would only cost money."""

    code = "teacher_unusable"


class ChatApi:
    """See `opd.teachers.base.Teacher`. Close it, or use it in a `with` statement.

    Args:
        purse: the run's money; give the run its cap before the first question.
        sampling: for `answer`.
        watch: called with the state of the run's money while answers come, from the thread that asks.
        should_stop: asked several times a second while answers are waited for; a yes interrupts the asking.
        grace_s: how long an interrupted `ask` waits for what is under way, since that is paid.
    """

    provides: tuple[SignalKind, ...] = ("text",)

    def __init__(
        self,
        endpoint: Endpoint,
        price: PricedModel,
        *,
        purse: Purse,
        key: str | None = None,
        timeout_s: float = 120.0,
        max_concurrency: int = 8,
        sampling: AnswerSampling | None = None,
        watch: Callable[[Meter], None] = lambda meter: None,
        should_stop: Callable[[], bool] = lambda: False,
        clock: Clock | None = None,
        grace_s: float = _GRACE_S,
    ):
        self.endpoint, self.price = endpoint, price
        self._purse, self._watch, self._most, self._grace_s = purse, watch, max_concurrency, grace_s
        self._sampling, self._should_stop = sampling or AnswerSampling(), should_stop
        self._wire = Wire(endpoint, key=key, timeout_s=timeout_s, most=max_concurrency)
        self._pace = Pace(max_concurrency, clock)
        self._gateway = Gateway(endpoint, price, purse=purse, wire=self._wire, pace=self._pace)

    @classmethod
    def from_config(
        cls,
        teacher: ChatModel,
        price: PricedModel,
        *,
        purse: Purse,
        key: str | None = None,
        sampling: AnswerSampling | None = None,
        watch: Callable[[Meter], None] = lambda meter: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Self:
        """The teacher of a configuration, at a price from `price_of`.

        Raises:
            ConfigError: an id or address that cannot be used.
        """
        return cls(
            endpoint_of(teacher),
            price,
            purse=purse,
            key=key,
            timeout_s=teacher.timeout_s,
            max_concurrency=teacher.max_concurrency,
            sampling=sampling,
            watch=watch,
            should_stop=should_stop,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connections."""
        self._wire.close()

    def score(self, rollouts: Rollouts) -> TeacherSignal:
        """Not possible.

        Raises:
            NoScoresError: always.
        """
        raise NoScoresError(
            "A chat API gives no log-probabilities of given text.",
            hint="Choose an objective for answers, or a teacher that scores tokens.",
        )

    def answer(self, conversations: Sequence[Sequence[Message]]) -> list[Answer]:
        """Its own answer to each conversation.

        Raises:
            BudgetReachedError, TeacherError: as `ask`.
        """
        return self.ask([Ask(tuple(messages), self._sampling) for messages in conversations], stage="answers")

    def worst_nano_usd(self, ask: Ask) -> int:
        """The most that one question can cost: what is held for it while it is under way."""
        return self._gateway.call_request(ask, "").worst_nano_usd

    def ask(self, asks: Sequence[Ask], *, stage: str, progress: Progress | None = None) -> list[Answer]:
        """The answer to each question, in order; those with a `problem` must not be trained on.

        Args:
            stage: what the spending is listed under, such as answers, expansion or marking.
            progress: called with (done, all) from this thread, several times a second; what it raises ends the
                asking: nothing more is sent, and what is under way is given a few seconds to be received.

        Raises:
            BudgetReachedError: the cap is reached; everything that was paid is kept.
            NotWaitedForError: the run is to end; what was received in time is kept.
            UnusableTeacherError: most answers so far cannot be trained on.
            TeacherError: the provider cannot be used as it is.
        """
        if not asks:
            return []
        answers: list[Answer | None] = [None] * len(asks)
        self._pace.go_on()
        pool = ThreadPoolExecutor(min(self._most, len(asks)), thread_name_prefix="opd-ask")
        futures = {pool.submit(self._gateway.answer, ask, stage): place for place, ask in enumerate(asks)}
        patient = False
        try:
            self._collect(futures, answers, progress or (lambda done, total: None))
        except _Failed as failure:
            patient = True
            raise failure.problem from None
        except NotWaitedForError:
            raise
        except TeacherError:
            patient = True
            raise
        finally:
            self._wind_up(pool, futures, patient=patient)
            self._watch(self._purse.meter())
        return [answer for answer in answers if answer is not None]

    def _collect(self, futures: dict[Future[Answer], int], answers: list[Answer | None], progress: Progress) -> None:
        set_aside: Counter[str] = Counter()
        pending, shown = set(futures), 0.0
        while pending:
            done, pending = wait(pending, _TICK_S, FIRST_COMPLETED)
            for future in done:
                error = future.exception()
                if error is not None:
                    raise _Failed(error)
                answer = answers[futures[future]] = future.result()
                if answer.problem is not None and not answer.from_cache:
                    set_aside[answer.problem] += 1
            num_done = len(futures) - len(pending)
            _refuse_if_useless(set_aside, num_done, self.endpoint.id)
            if time.monotonic() - shown >= _TICK_S:
                shown = time.monotonic()
                self._watch(self._purse.meter())
            progress(num_done, len(futures))
            if pending and self._should_stop():
                raise NotWaitedForError(f"The run ends, and {self.endpoint.id} has not answered everything.")

    def _wind_up(self, pool: ThreadPoolExecutor, futures: dict[Future[Answer], int], *, patient: bool) -> None:
        """Send nothing more, and wait for what is under way: to its deadline, or a moment for a person who stops."""
        pool.shutdown(wait=False, cancel_futures=True)
        self._pace.halt()
        begun = [future for future in futures if not future.cancelled()]  # nobody ever wakes who waits for the others
        _, unfinished = wait(begun, None if patient else self._grace_s)
        if unfinished:
            self._wire.cut()
        pool.shutdown()


class _Failed(Exception):  # noqa: N818  # carries the failure of one question out of the loop
    def __init__(self, problem: BaseException):
        super().__init__()
        self.problem = problem


def _refuse_if_useless(set_aside: Counter[str], num_done: int, teacher: str) -> None:
    num = set_aside.total()
    if num < _FEWEST_SET_ASIDE or num <= num_done / 2:
        return
    listed = ", ".join(f"{count} × {problem}" for problem, count in set_aside.most_common())
    raise UnusableTeacherError(
        f"{num} of the first {num_done} answers of {teacher} cannot be trained on: {listed}.",
        hint="Read the answers that were set aside; a longer limit, other prompts or another teacher may help.",
        details=dict(set_aside),
    )
