"""Requests to a scoring server that charges for tokens: each is held, sent and settled in the ledger, as a chat's is.

In: paths and JSON bodies, as `HttpClient` takes them. Out: `Reply`. An equal request is paid once: a row that is scored
again after a resume comes from the cache. The worst case is known almost to the token, because ids are sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

from opd.errors import InputError, TeacherError
from opd.pricing import PricedModel, Usage
from opd.store.money import CallRequest, Meter, request_key
from opd.teachers.chat.pace import Pace
from opd.teachers.chat.purse import Purse
from opd.teachers.chat.till import Assessed, Till
from opd.teachers.chat.wire import NOT_CARRIED_OUT, Lost, TurnedAway
from opd.teachers.http import HttpClient
from opd.teachers.http_replies import (
    KeyRefusedError,
    MayPassError,
    QuotaError,
    RedirectedError,
    Reply,
    RequestRefusedError,
    UnclearError,
)

_OVERHEAD_TOKENS = 64  # a template's or a server's own, around what is sent
_MESSAGE_TOKENS = 32
_ABSURD_FACTOR = 10
Request = tuple[str, Mapping[str, Any]]


class UnaccountedError(TeacherError):
    """A reply does not say what it cost, or says what cannot be true."""

    code = "teacher_usage_unclear"


class PaidClient:
    """In place of an `HttpClient`, for one run.

    Args:
        http: its policy must not repeat what may have been carried out; closed with this.
        name: as the ledger lists the teacher.
        most: requests under way at once.
        watch: called with the state of the run's money after each batch.
    """

    def __init__(
        self,
        http: HttpClient,
        price: PricedModel,
        purse: Purse,
        *,
        name: str,
        most: int,
        watch: Callable[[Meter], None] = lambda meter: None,
    ):
        self._http, self._price, self._purse, self._name, self._most = http, price, purse, name, most
        self._watch, self._pace = watch, Pace(most)
        self._till = Till(http.origin, purse=purse, pace=self._pace)

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return self._http.origin

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    def get(self, path: str) -> Reply:
        """What costs nothing, such as the list of models."""
        return self._http.get(path)

    def post(self, path: str, body: Mapping[str, Any]) -> Reply:
        """One paid request.

        Raises:
            BudgetReachedError, TeacherError: as `post_many`.
        """
        return self.post_many([(path, body)])[0]

    def post_many(self, requests: Sequence[Request]) -> list[Reply]:
        """Several, as many under way as configured; replies in their order. What was sent is waited for and kept.

        Raises:
            BudgetReachedError: the cap leaves no room; nothing more was sent.
            UnaccountedError: a reply without a usage report that can be true; it is booked at its worst case.
            TeacherError: the server cannot be used as it is.
        """
        if not requests:
            return []
        self._pace.go_on()
        with ThreadPoolExecutor(min(self._most, len(requests)), thread_name_prefix="opd-paid") as pool:
            futures = [pool.submit(self._pay, path, body) for path, body in requests]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
                failed = next((future for future in futures if future.done() and future.exception()), None)
                if failed is not None:
                    failed.result()
                return [future.result() for future in futures]
            finally:
                for future in futures:
                    future.cancel()
                self._pace.halt()
                pool.shutdown()
                self._watch(self._purse.meter())

    def _pay(self, path: str, body: Mapping[str, Any]) -> Reply:
        request = self._call_request(path, body)
        try:
            found = self._till.pay(request, lambda: self._send(path, body), lambda content: _assess(content, request))
        except TurnedAway as refusal:
            raise refusal.error from None
        reply, problem = found.value
        if problem is not None:
            raise UnaccountedError(
                f"{self._name} {_PROBLEMS[problem]}; the request is booked at its worst case.",
                hint="Look at the provider's account. A server that counts no tokens cannot be used with a price.",
            )
        return reply

    def _send(self, path: str, body: Mapping[str, Any]) -> bytes:
        try:
            reply = self._http.post_once(path, body)
        except MayPassError as problem:
            status = problem.error.details.get("status")
            if status is not None and status not in NOT_CARRIED_OUT:
                raise Lost(problem.error) from None
            raise TurnedAway(problem.error, may_pass=True, asked_wait_s=problem.asked_wait_s) from None
        except (KeyRefusedError, QuotaError, RedirectedError, RequestRefusedError) as error:
            raise TurnedAway(error) from None
        except TeacherError as error:  # whatever else it is: it left, and may be billed
            raise Lost(error, may_repeat=isinstance(error, UnclearError)) from None
        return json.dumps(reply.body).encode()

    def _call_request(self, path: str, body: Mapping[str, Any]) -> CallRequest:
        is_chat = path.endswith("/chat/completions")
        return CallRequest(
            key=request_key({"address": self._http.origin, "path": path, "body": body}),
            run_id=self._purse.run_id,
            stage="answers" if is_chat else "scoring",
            teacher=self._name,
            price=self._price,
            max_input_tokens=_most_sent(body),
            max_output_tokens=int(body.get("max_tokens") or body.get("sampling_params", {}).get("max_new_tokens") or 1),
        )


def _most_sent(body: Mapping[str, Any]) -> int:
    """An upper bound: ids are counted, and no tokenizer makes more tokens of a text than it has UTF-8 bytes."""
    sent = body.get("messages", body.get("prompt", body.get("input_ids")))
    if isinstance(sent, str):
        return len(sent.encode("utf-8", "surrogatepass")) + _OVERHEAD_TOKENS
    if "messages" not in body:
        return len(sent or ()) + _OVERHEAD_TOKENS
    texts = (str(part).encode("utf-8", "surrogatepass") for message in sent or () for part in message.values())
    return sum(map(len, texts)) + _MESSAGE_TOKENS * len(sent or ()) + _OVERHEAD_TOKENS


_PROBLEMS = {
    "usage_missing": "does not say how many tokens a reply cost",
    "usage_absurd": "says that a reply cost what cannot be true",
}


def _assess(content: bytes, request: CallRequest) -> Assessed[tuple[Reply, str | None]]:
    """The reply, and what is to be billed for it."""
    body = json.loads(content)
    usage, problem = _account(body, request)
    doubt = problem if problem in _PROBLEMS else None
    return Assessed((Reply(200, body, {}), doubt), usage, problem)


def _account(body: Any, request: CallRequest) -> tuple[Usage | None, str | None]:
    """What to bill, and what is wrong with the reply's own account."""
    counts = _counts(body)
    if counts is None:
        return None, "usage_missing"
    try:
        usage = Usage(**counts)
    except InputError:
        return None, "usage_absurd"
    most_in, most_out = request.max_input_tokens, request.max_output_tokens
    if not 0 < usage.input_tokens <= _ABSURD_FACTOR * most_in or usage.output_tokens > _ABSURD_FACTOR * most_out:
        return None, "usage_absurd"
    is_more = usage.input_tokens > most_in or usage.output_tokens > most_out
    return usage, "overcharged" if is_more else None


def _counts(body: Any) -> dict[str, Any] | None:
    """Raw counts of a reply, as they stand there; None where it counts nothing."""
    if not isinstance(body, dict):
        return None
    found = body.get("usage") or body.get("meta_info")
    if not isinstance(found, dict) or "prompt_tokens" not in found:
        return None
    details = found.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else found.get("cached_tokens")
    return {
        "input_tokens": found["prompt_tokens"],
        "cached_input_tokens": cached or 0,
        "output_tokens": found.get("completion_tokens") or 0,
    }
