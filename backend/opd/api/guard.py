"""The outermost layer: what does not come from this machine's own page or command line gets no further.

One rule for HTTP and WebSocket, for every path and every method: exact Host with port, Origin ours if there is one,
Sec-Fetch-Site same-origin or none; below /api a session cookie or the token. Whatever is not GET or HEAD needs a JSON
body type and the header X-OPD: 1, which no other site's form or script can send without asking first; nothing here
ever answers such a question. There is no CORS middleware and no list of protected paths to forget one in.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from http.cookies import CookieError, SimpleCookie

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opd.api.access import Access

MAX_JSON_BYTES = 1_000_000
UPLOAD_PATH = "/api/datasets"
# Reachable without a session: the page itself (everything outside /api), the door, and a sign of life.
OPEN_API = frozenset({("GET", "/api/health"), ("HEAD", "/api/health"), ("POST", "/api/session")})
_OWN_PAGE = "Open the address that `opd studio` printed."
_SAFE_METHODS = frozenset({"GET", "HEAD"})

CONTENT_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_SECURITY_HEADERS = {
    b"content-security-policy": CONTENT_POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}


class RefusedError(Exception):
    """Why a request gets no further."""

    def __init__(self, status: int, code: str, message: str, hint: str):
        super().__init__(code)
        self.status = status
        self.body = {"error": {"code": code, "message": message, "hint": hint, "details": {}}}


class Guard:
    """Wraps the application.

    Args:
        hosts: names under which the server may be addressed, each with its port.
    """

    def __init__(self, app: ASGIApp, access: Access, hosts: Sequence[str]):
        self.app = app
        self._access = access
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        try:
            self._check(scope)
        except RefusedError as refusal:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 4403, "reason": str(refusal)})
            else:
                await _answer(refusal, send)
            return
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
        else:
            await self._pass_on(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = _Headers(scope)
        host = headers.only("host")
        if host not in self._hosts:
            raise RefusedError(403, "host_refused", "The Host header is not this studio's address.", _OWN_PAGE)
        origins = headers.all("origin")
        if origins and origins != [f"http://{host}"]:
            raise RefusedError(403, "origin_refused", "Requests of other pages are not answered.", _OWN_PAGE)
        if any(site not in ("same-origin", "none") for site in headers.all("sec-fetch-site")):
            raise RefusedError(403, "origin_refused", "Requests of other sites are not answered.", _OWN_PAGE)
        is_socket = scope["type"] == "websocket"
        method = "GET" if is_socket else scope["method"]
        if method not in _SAFE_METHODS:
            _check_change(scope, headers)
        path: str = scope["path"]
        if is_socket or (_is_api(path) and (method, path) not in OPEN_API):
            self._check_session(headers, origin_needed=is_socket, has_origin=bool(origins))

    def _check_session(self, headers: _Headers, *, origin_needed: bool, has_origin: bool) -> None:
        scheme, _, token = headers.only("authorization").partition(" ")
        if scheme.lower() == "bearer" and self._access.is_token(token.strip()):
            return
        if self._access.is_cookie(headers.cookie(self._access.cookie_name)):
            if origin_needed and not has_origin:
                raise RefusedError(
                    403, "origin_refused", "A socket with a session cookie needs an Origin.", "Send the token instead."
                )
            return
        raise RefusedError(
            401,
            "no_session",
            "There is no valid session.",
            "Open the address that `opd studio` printed; run it again for a fresh one.",
        )

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_upload = (scope["method"], scope["path"]) == ("POST", UPLOAD_PATH)
        started = False
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_JSON_BYTES and not is_upload:
                raise _too_large()
            return message

        async def hardened(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                present = {name.lower() for name, _ in message.get("headers", [])}
                extra = [(name, value) for name, value in _SECURITY_HEADERS.items() if name not in present]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        try:
            await self.app(scope, counted, hardened)
        except RefusedError as refusal:
            if not started:
                await _answer(refusal, send)


class _Headers:
    """A scope's headers by name; more than one of a kind is never taken for one."""

    def __init__(self, scope: Scope):
        self._items: list[tuple[bytes, bytes]] = scope["headers"]

    def all(self, name: str) -> list[str]:
        wanted = name.encode()
        return [value.decode("latin-1") for key, value in self._items if key.lower() == wanted]

    def only(self, name: str) -> str:
        """The value of the one header of this name; empty when there is none, or more than one."""
        found = self.all(name)
        return found[0] if len(found) == 1 else ""

    def cookie(self, name: str) -> str:
        try:
            jar = SimpleCookie("; ".join(self.all("cookie")))
        except CookieError:
            return ""
        return jar[name].value if name in jar else ""


def _check_change(scope: Scope, headers: _Headers) -> None:
    if headers.only("x-opd") != "1":
        raise RefusedError(
            403, "header_missing", "Changes need the header X-OPD: 1.", "Send it; browsers' forms cannot."
        )
    kind = headers.only("content-type").partition(";")[0].strip().lower()
    is_upload = (scope["method"], scope["path"]) == ("POST", UPLOAD_PATH)
    if kind != ("application/octet-stream" if is_upload else "application/json"):
        expected = "application/octet-stream" if is_upload else "application/json"
        raise RefusedError(
            415,
            "content_type_refused",
            f"The Content-Type of this request has to be {expected}.",
            f"Send the header content-type: {expected}.",
        )
    length = headers.only("content-length")
    if not is_upload and length.isdigit() and int(length) > MAX_JSON_BYTES:
        raise _too_large()


def _is_api(path: str) -> bool:
    return path == "/api" or path.startswith("/api/")


def _too_large() -> RefusedError:
    return RefusedError(
        413,
        "body_too_large",
        f"The body has more than {MAX_JSON_BYTES:,} bytes.",
        "Data files go to POST /api/datasets, which takes larger ones.",
    )


async def _answer(refusal: RefusedError, send: Send) -> None:
    body = json.dumps(refusal.body).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *_SECURITY_HEADERS.items(),
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
