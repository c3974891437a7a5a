"""One request to a chat API and what became of it: received, turned away, or lost.

In: a request body in the API's own words. Out: the bytes of a complete JSON reply, or `TurnedAway` (nothing was
carried out, so nothing is billed) or `Lost` (nobody knows). Which is which decides what the ledger books. One attempt,
one deadline for everything from connecting to the last byte. Knows nothing of money or caches.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import Any, NoReturn, Self

import httpx2

from opd.errors import TeacherError
from opd.teachers.chat.door import NO_KEY, open_client
from opd.teachers.chat.endpoints import Endpoint
from opd.teachers.http_replies import (
    MayPassError,
    NotUnderstoodError,
    QuotaError,
    TimedOutError,
    UnclearError,
    UnreachableError,
    judge,
)

NOT_CARRIED_OUT = frozenset({429, 503, 529})
"""Of the statuses that may pass by themselves: those a server gives before it has begun."""
_ABOUT_THIS_REQUEST = frozenset({400, 413, 422})
_NO_CREDIT = ("credit balance", "insufficient_quota", "billing")


class TurnedAway(Exception):  # noqa: N818  # one of three outcomes; the error is inside
    """The request was not carried out: it never left, or the provider refused it.

    `may_pass`: asking again may help, not before `asked_wait_s`. `is_about_request`: only this request is refused.
    """

    def __init__(
        self,
        error: TeacherError,
        *,
        may_pass: bool = False,
        asked_wait_s: float | None = None,
        is_about_request: bool = False,
    ):
        super().__init__(error.code)
        self.error, self.may_pass, self.asked_wait_s = error, may_pass, asked_wait_s
        self.is_about_request = is_about_request


class Lost(Exception):  # noqa: N818  # one of three outcomes; the error is inside
    """It left, and no usable reply came: it may be billed. `may_repeat`: the same again may go well."""

    def __init__(self, error: TeacherError, *, may_repeat: bool = True):
        super().__init__(error.code)
        self.error, self.may_repeat = error, may_repeat


class Wire:
    """Requests to one endpoint through its provider's SDK, from any thread.

    Args:
        key: sent to the endpoint's origin only.
        timeout_s: the deadline of an attempt.
        most: requests at once.
    """

    def __init__(
        self, endpoint: Endpoint, *, key: str | None, timeout_s: float, most: int, connect_timeout_s: float = 10.0
    ):
        self._endpoint, self._timeout_s = endpoint, timeout_s
        self._secrets = [key] if key else []
        name, prefix = ("x-api-key", "") if endpoint.api == "anthropic" else ("authorization", "Bearer ")
        self._credentials = {name: f"{prefix}{key}"} if key else {}
        self._connect_timeout_s, self._most = connect_timeout_s, most
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="opd-chat", daemon=True)
        self._thread.start()
        self._sdk: Any = None
        self._under_way: set[Future[bytes]] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, body: Mapping[str, Any]) -> bytes:
        """The complete JSON reply to one request.

        Raises:
            TurnedAway: it was not carried out.
            Lost: it may have been.
        """
        future = asyncio.run_coroutine_threadsafe(self._attempt(body), self._loop)
        with self._lock:
            self._under_way.add(future)
        try:
            return future.result()
        except CancelledError:
            error = UnclearError("A request was cut off because the run ends.", hint="Resume the run.")
            raise Lost(error, may_repeat=False) from None
        finally:
            with self._lock:
                self._under_way.discard(future)

    def cut(self) -> None:
        """End what is under way at once; whoever waits for it is told that it is lost."""
        with self._lock:
            for future in list(self._under_way):
                future.cancel()

    def close(self) -> None:
        """End connections and the thread."""
        if self._loop.is_closed():
            return
        if self._sdk is not None:
            asyncio.run_coroutine_threadsafe(self._sdk.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    async def _attempt(self, body: Mapping[str, Any]) -> bytes:
        try:
            async with asyncio.timeout(self._timeout_s):
                reply = await self._call(body)
        except TimeoutError:
            error = TimedOutError(
                f"{self._endpoint.origin} had not answered completely after {self._timeout_s:g} s.",
                hint="Raise teacher.timeout_s, or lower teacher.max_concurrency.",
            )
            raise Lost(error) from None
        except NotUnderstoodError as error:  # from the door: too long
            raise Lost(error, may_repeat=False) from None
        except httpx2.HTTPError as problem:
            self._broken(problem)
        return self._judged(reply)

    async def _call(self, body: Mapping[str, Any]) -> httpx2.Response:
        """The SDK's request; its exceptions are opened, so that both SDKs look the same from here."""
        create, status_error, connection_error = self._prepared()
        try:
            reply: httpx2.Response = (await create(**body)).http_response
        except status_error as problem:
            reply = problem.response
        except connection_error as problem:
            cause = problem.__cause__
            if isinstance(cause, NotUnderstoodError | httpx2.HTTPError | TeacherError):
                raise cause from None
            raise httpx2.ReadError(type(cause).__name__) from None
        return reply

    def _prepared(self) -> tuple[Any, type[Any], type[Any]]:
        """(create, its error with a status, its error without one) of the provider's SDK."""
        if self._endpoint.api == "anthropic":
            import anthropic  # the SDKs take half a second each: only for who talks to them

            self._sdk = self._sdk or anthropic.AsyncAnthropic(**self._options())
            return (
                self._sdk.messages.with_raw_response.create,
                anthropic.APIStatusError,
                anthropic.APIConnectionError,
            )
        import openai

        self._sdk = self._sdk or openai.AsyncOpenAI(**self._options())
        return self._sdk.chat.completions.with_raw_response.create, openai.APIStatusError, openai.APIConnectionError

    def _options(self) -> dict[str, Any]:
        return {
            "api_key": NO_KEY,
            "base_url": self._endpoint.base_url,
            "max_retries": 0,
            "timeout": httpx2.Timeout(None, connect=self._connect_timeout_s),  # the whole is timed by `_attempt`
            "http_client": open_client(
                self._endpoint.origin,
                self._credentials,
                most=self._most,
            ),
        }

    def _broken(self, problem: httpx2.HTTPError) -> NoReturn:
        origin = self._endpoint.origin
        hint = "Start the server, or correct teacher.base_url; it is host, port and path."
        if isinstance(problem, httpx2.ConnectTimeout | httpx2.PoolTimeout):
            raise TurnedAway(UnreachableError(f"{origin} does not answer.", hint=hint), may_pass=True) from None
        if isinstance(problem, httpx2.ConnectError):
            raise TurnedAway(UnreachableError(f"{origin} refuses connections.", hint=hint), may_pass=True) from None
        error = UnreachableError(
            f"{origin} broke off the connection ({type(problem).__name__}).", hint="Resume; look at the server's log."
        )
        raise Lost(error) from None

    def _judged(self, reply: httpx2.Response) -> bytes:
        content, status, headers = reply.content, reply.status_code, dict(reply.headers)
        refused = _error_inside(content) if status < 300 else None
        if refused is not None:  # some gateways answer 200 and put the failure into the body
            status, headers["x-inside"] = refused, "yes"
        try:
            judge(
                status,
                headers,
                content,
                origin=self._endpoint.origin,
                has_key=bool(self._credentials),
                secrets=self._secrets,
            )
        except MayPassError as problem:
            if status in NOT_CARRIED_OUT:
                raise TurnedAway(problem.error, may_pass=True, asked_wait_s=problem.asked_wait_s) from None
            raise Lost(problem.error) from None
        except NotUnderstoodError as error:
            is_page = "html" in headers.get("content-type", "").lower() or content.lstrip()[:1] == b"<"
            raise Lost(error, may_repeat=not is_page) from None
        except TeacherError as error:
            if status in _ABOUT_THIS_REQUEST and any(word in error.message.lower() for word in _NO_CREDIT):
                error = QuotaError(error.message, hint="Top up the account, then resume the run.")
            about = status in _ABOUT_THIS_REQUEST and not isinstance(error, QuotaError)
            raise TurnedAway(error, is_about_request=about) from None
        return content


def _error_inside(content: bytes) -> int | None:
    """The status of a failure that came as a success, or None."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or "choices" in body or "content" in body or not isinstance(body.get("error"), dict):
        return None
    code = body["error"].get("code")
    return code if type(code) is int and 400 <= code < 600 else 500
