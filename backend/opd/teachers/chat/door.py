"""The transport under the providers' SDKs: where a key is put on, and what may pass.

The SDKs never see a key. It is added here, to requests for the one origin that it was given for; whatever else an SDK
takes from its environment (other keys, headers, addresses) is taken off. Replies are cut off above a size.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import httpx2

from opd.errors import TeacherError
from opd.teachers.addresses import check_peer, is_loopback, tls_context
from opd.teachers.http_replies import NotUnderstoodError

MAX_REPLY_BYTES = 16 * 1024 * 1024
NO_KEY = "put-on-at-the-door"
_KEPT = frozenset(
    {
        "accept", "anthropic-version", "connection", "content-length", "content-type", "host", "transfer-encoding",
        "user-agent",
    }
)  # fmt: skip


class Door(httpx2.AsyncBaseTransport):
    """Wraps the network.

    Args:
        origin: the only one that requests may go to.
        credentials: headers that carry the key, if there is one.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport, origin: str, credentials: Mapping[str, str]):
        self._inner, self._origin, self._credentials = inner, origin, dict(credentials)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if _origin_of(request.url) != _origin_of(httpx2.URL(self._origin)):
            raise TeacherError(
                f"A request for {_origin_of(request.url)} was stopped; expected {self._origin} only.",
                hint="This is a fault of the program: please report it.",
            )
        kept = {name: value for name, value in request.headers.items() if name in _KEPT}
        # Packed replies are not asked for and not unpacked: a few bytes could become gigabytes.
        headers = {**kept, "accept-encoding": "identity", **self._credentials}
        # Another request, because the SDK keeps notes for itself in the headers of its own.
        passed = httpx2.Request(
            request.method, request.url, headers=headers, stream=request.stream, extensions=request.extensions
        )
        response = await self._inner.handle_async_request(passed)
        check_peer(response)
        assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101  # what async transports give
        response.stream = _Capped(response.stream)
        response.headers.pop("content-encoding", None)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Capped(httpx2.AsyncByteStream):
    """A body that ends with an error where it gets too long."""

    def __init__(self, inner: httpx2.AsyncByteStream):
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        num_bytes = 0
        async for part in self._inner:
            num_bytes += len(part)
            if num_bytes > MAX_REPLY_BYTES:
                raise NotUnderstoodError(
                    f"A reply of more than {MAX_REPLY_BYTES:,} bytes was broken off.",
                    hint="No chat answer is as long as that: is this the address of an API?",
                )
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()


def open_client(origin: str, credentials: Mapping[str, str], *, most: int) -> httpx2.AsyncClient:
    """A client for one origin: no redirects, no proxy on this machine, and a door.

    Args:
        most: connections at once.
    """
    limits = httpx2.Limits(max_connections=most, max_keepalive_connections=most, keepalive_expiry=30.0)
    trust_env = not is_loopback(origin)
    client = httpx2.AsyncClient(
        follow_redirects=False,
        trust_env=trust_env,
        verify=tls_context(trust_env=trust_env),
        limits=limits,
    )
    # Proxies of the environment are mounts beside the plain transport: each gets the door.
    client._transport = Door(client._transport, origin, credentials)
    for pattern, transport in client._mounts.items():
        if transport is not None:
            client._mounts[pattern] = Door(transport, origin, credentials)
    return client


def _origin_of(url: httpx2.URL) -> str:
    port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    return f"{url.scheme}://{url.host}:{port}"
