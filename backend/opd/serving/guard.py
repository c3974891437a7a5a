"""The door of the endpoint: who may ask at all. Outermost, for every path and method.

On loopback a request must be addressed to this machine by name or number (so that no web page whose name points here
gets in) and must not come from a web page of another origin. Everywhere the token, if one is set, is needed. Bodies
are JSON by their declared type, which no page can send to another origin without asking first; nobody is answered.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from opd.serving.errors import RefusedError

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


class ServingGuard:
    """Wraps the application.

    Args:
        token: bearer token that every request must carry; None: none is needed.
        hosts: names under which the server may be addressed; None: any (then there must be a token).
    """

    def __init__(self, app: ASGIApp, *, token: str | None, hosts: Sequence[str] | None = LOOPBACK_NAMES):
        self.app, self._token, self._hosts = app, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._check(scope)
            except RefusedError as refusal:
                await refusal.as_response()(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        if self._hosts is not None and name not in self._hosts:
            raise RefusedError(403, "This server answers on this machine's own names only.", code="host_refused")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            raise RefusedError(403, "Requests from web pages are refused.", code="origin_refused")
        if self._token is not None:
            given = headers.get("authorization", "").removeprefix("Bearer ").strip()
            if not secrets.compare_digest(given.encode(), self._token.encode()):
                raise RefusedError(401, "A bearer token is needed, and this is not it.", code="invalid_api_key")
        declared = headers.get("content-type", "").partition(";")[0].strip().lower()
        if scope["method"] == "POST" and declared != "application/json":
            raise RefusedError(415, "The body must be application/json.", code="not_json")
