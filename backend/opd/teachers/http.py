"""One way to the network for every teacher: deadlines, retries, concurrency, and a key that stays with its origin.

In: paths and JSON bodies. Out: `Reply`, or a named `TeacherError` that says what to do. Knows nothing of dialects.

A request has one deadline for everything from connecting to the last byte, so a server that sends a byte now and then
cannot hold a run. What may pass by itself is tried again, never sooner than the server asked for, with jitter; what
cannot (a refused key, an exhausted account, a wrong request) never is. Redirects are not followed: a key goes to
the origin that it was given for and nowhere else. Keys, bodies and headers are not logged and are in no error.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2

from opd.errors import NotWaitedForError, TeacherError
from opd.teachers.addresses import check_peer, is_loopback, split_address, tls_context
from opd.teachers.http_replies import (
    MayPassError,
    NotUnderstoodError,
    Reply,
    TimedOutError,
    UnclearError,
    UnreachableError,
    judge,
)

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_LONGEST_ASKED_WAIT_S = 300.0
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.5, 30.0
_MAX_REPLY_BYTES = 512 * 1024 * 1024
_TICK_S, _GRACE_S = 0.25, 5.0


@dataclass(frozen=True)
class Policy:
    """How patient a client is.

    `timeout_s` is the deadline of one attempt. `retry_unclear`: whether to ask again when a request may have been
    carried out but its answer was lost; a paid call says no and lets its ledger decide.
    """

    timeout_s: float = 120.0
    connect_timeout_s: float = 10.0
    max_attempts: int = 6
    max_concurrency: int = 8
    retry_unclear: bool = True


class HttpClient:
    """Requests to one server, from any thread. Close it, or use it in a `with` statement.

    Args:
        base_url: where all paths are below; http or https.
        key: sent as bearer token to this origin only.
        policy: deadlines and retries.
        headers: sent with every request (some providers name the key's header themselves).
        should_stop: asked several times a second while an answer is waited for; once it says yes, the answer has a
            few seconds left.
        sleep: how to wait between attempts; tests look at what it is called with.

    Raises:
        ConfigError: an address that cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        *,
        key: str | None = None,
        policy: Policy | None = None,
        headers: Mapping[str, str] | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ):
        self.origin, self._path = split_address(base_url)
        self._key, self._policy, self._sleep = key, policy or Policy(), sleep
        self._should_stop = should_stop
        self._headers = {**({"authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
        self._secrets = [value for value in (key, *(headers or {}).values()) if value and len(value) >= 8]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="opd-http", daemon=True)
        self._thread.start()
        self._client: httpx2.AsyncClient | None = None
        self._slots: asyncio.Semaphore | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def get(self, path: str, *, attempts: int | None = None) -> Reply:
        """GET below the base address.

        Raises:
            TeacherError: one of this module's.
        """
        return self._wait(self._ask("GET", path, None, attempts))

    def post(self, path: str, body: Mapping[str, Any], *, attempts: int | None = None) -> Reply:
        """POST a JSON body below the base address.

        Raises:
            TeacherError: one of this module's.
        """
        return self._wait(self._ask("POST", path, body, attempts))

    def post_once(self, path: str, body: Mapping[str, Any]) -> Reply:
        """One attempt, for who decides about the next; a place among the requests under way is theirs to keep.

        Raises:
            MayPassError: the same again may go well.
            TeacherError: one of this module's.
        """
        return self._wait(self._attempt("POST", path, body))

    def post_many(self, requests: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Reply]:
        """Several POSTs at once, as many under way as the policy allows; answers in their order.

        Raises:
            TeacherError: the first that failed; the others are cancelled.
        """

        async def gather() -> list[Reply]:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._ask("POST", path, body, None)) for path, body in requests]
            return [task.result() for task in tasks]

        try:
            return self._wait(gather())
        except BaseExceptionGroup as group:
            failed, _ = group.split(TeacherError)
            raise (failed.exceptions[0] if failed is not None else group) from None

    def close(self) -> None:
        """End connections and the thread."""
        if self._loop.is_closed():
            return
        if self._client is not None:
            self._wait(self._client.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, _T]) -> _T:
        future: Future[_T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            self._wait_until_done(future)
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _wait_until_done(self, future: Future[Any]) -> None:
        stopping_since: float | None = None
        while not wait([future], _TICK_S).done:
            if stopping_since is None and self._should_stop():
                stopping_since = time.monotonic()
            if stopping_since is not None and time.monotonic() - stopping_since > _GRACE_S:
                raise NotWaitedForError(f"The run ends, and {self.origin} has not answered.")

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None, attempts: int | None) -> Reply:
        if self._slots is None:
            self._slots = asyncio.Semaphore(self._policy.max_concurrency)
        num = attempts or self._policy.max_attempts
        async with self._slots:
            for attempt in range(1, num + 1):
                try:
                    return await self._attempt(method, path, body)
                except MayPassError as problem:
                    if attempt == num or (problem.asked_wait_s or 0.0) > _LONGEST_ASKED_WAIT_S:
                        raise problem.error from None
                    wait_s = _pause_s(attempt, problem.asked_wait_s)
                    _log.info("%s; asking again in %.1f s", problem.error.code, wait_s)
                await self._sleep(wait_s)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _attempt(self, method: str, path: str, body: Mapping[str, Any] | None) -> Reply:
        policy = self._policy
        try:
            async with asyncio.timeout(policy.timeout_s):
                client = self._connect()
                request = client.build_request(method, self._path + path, json=body, headers=self._headers)
                response = await client.send(request, stream=True)
                try:
                    check_peer(response)
                    content = await _read(response)
                finally:
                    await response.aclose()
        except (TimeoutError, httpx2.TimeoutException) as problem:
            if isinstance(problem, httpx2.ConnectTimeout | httpx2.PoolTimeout):
                raise MayPassError(self._unreachable("does not answer")) from None
            error: TeacherError = TimedOutError(
                f"{self.origin} had not answered completely after {policy.timeout_s:g} s.",
                hint="Raise teacher.timeout_s, lower the batch, or look at the server's load.",
            )
            raise self._lost(error) from None
        except httpx2.ConnectError:
            raise MayPassError(self._unreachable("refuses connections")) from None
        except httpx2.TransportError as problem:
            error = UnreachableError(
                f"{self.origin} broke off the connection ({type(problem).__name__}).",
                hint="Look at the server's log; it may have run out of memory.",
            )
            raise self._lost(error) from None
        return judge(
            response.status_code,
            dict(response.headers),
            content,
            origin=self.origin,
            has_key=self._key is not None,
            secrets=self._secrets,
        )

    def _connect(self) -> httpx2.AsyncClient:
        if self._client is None:
            policy = self._policy
            trust_env = not is_loopback(self.origin)  # a proxy has no business between this machine and itself
            self._client = httpx2.AsyncClient(
                base_url=self.origin,
                follow_redirects=False,
                timeout=httpx2.Timeout(policy.timeout_s, connect=policy.connect_timeout_s),
                limits=httpx2.Limits(max_connections=policy.max_concurrency),
                trust_env=trust_env,
                verify=tls_context(trust_env=trust_env),
            )
        return self._client

    def _lost(self, error: TeacherError) -> Exception:
        """What to do about a request that may have been carried out."""
        if self._policy.retry_unclear:
            return MayPassError(error)
        return UnclearError(error.message, hint=error.hint)

    def _unreachable(self, how: str) -> UnreachableError:
        return UnreachableError(
            f"{self.origin} {how}.", hint="Start the server, or correct teacher.base_url; it is host, port and path."
        )


async def _read(response: httpx2.Response) -> bytes:
    content = bytearray()
    async for part in response.aiter_bytes():
        content += part
        if len(content) > _MAX_REPLY_BYTES:
            raise NotUnderstoodError(
                f"An answer of more than {_MAX_REPLY_BYTES:,} bytes was broken off.",
                hint="Ask for fewer tokens at a time, or a smaller top-k.",
            )
    return bytes(content)


def _pause_s(attempt: int, asked_wait_s: float | None) -> float:
    """Exponential, with jitter on top, so that many clients do not come back together; never less than asked for."""
    backoff = min(_FIRST_BACKOFF_S * 2.0 ** (attempt - 1), _LONGEST_BACKOFF_S)
    return float(max(backoff, asked_wait_s or 0.0) + random.uniform(0, backoff / 2))
