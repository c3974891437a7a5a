"""The guard, cell by cell: every route × method × Host × Origin, for HTTP and WebSocket. Only legal cells get through.

The routes are taken from the router, so that a new one is covered without anybody thinking of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from starlette.types import Message, Receive, Scope, Send

from opd.api.access import Access
from opd.api.app import build_api
from opd.api.guard import MAX_JSON_BYTES, OPEN_API, UPLOAD_PATH, Guard

PORT = 8421
TOKEN = "t" * 64
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
LEGAL_HOSTS = (f"127.0.0.1:{PORT}", f"localhost:{PORT}", f"[::1]:{PORT}")
HOSTS: tuple[tuple[str, ...], ...] = (
    *((host,) for host in LEGAL_HOSTS),
    (),
    ("",),
    ("127.0.0.1",),
    (f"127.0.0.1:{PORT + 1}",),
    (f"evil.com:{PORT}",),
    (f"127.0.0.1.evil.com:{PORT}",),
    (f"LOCALHOST:{PORT}.evil.com",),
    (f"localhost.:{PORT}",),
    (f"0.0.0.0:{PORT}",),
    (f"::1:{PORT}",),
    (f"127.0.0.1:{PORT}", f"127.0.0.1:{PORT}"),
    (f"127.0.0.1:{PORT}@evil.com",),
)
ORIGINS: tuple[tuple[str, ...], ...] = (
    (),
    *((f"http://{host}",) for host in LEGAL_HOSTS),
    ("null",),
    ("",),
    (f"https://127.0.0.1:{PORT}",),
    ("http://127.0.0.1",),
    (f"http://127.0.0.1:{PORT + 1}",),
    (f"http://127.0.0.1.evil.com:{PORT}",),
    ("https://evil.com",),
    (f"http://127.0.0.1:{PORT}", "https://evil.com"),
)


@lru_cache(maxsize=1)
def router_paths() -> list[str]:
    """Every path of the API with its parameters filled in, and some that are none."""
    templates = {str(route.path) for route in iter_route_contexts(build_api().routes)}
    assert "/api/opd/ws" in templates
    filled = {
        path.replace("{run_id}", "r1").replace("{dataset_id}", "d1").replace("{provider}", "openai")
        for path in templates
    }
    assert len(filled) > 20
    assert not any("{" in path for path in filled)
    return sorted(filled | {"/", "/runs/r1", "/assets/index.js", "/api", "/api/nothing", "/api/openapi.json"})


class Recorder:
    """The application behind the guard: notes what reaches it."""

    def __init__(self) -> None:
        self.reached: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached.append(scope)
        while (await receive()).get("more_body"):
            pass
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def access() -> Access:
    return Access(TOKEN, PORT, "boot")


def scope_of(kind: str, method: str, path: str, headers: Sequence[tuple[str, str]]) -> Scope:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    scope: dict[str, Any] = {"type": kind, "path": path, "headers": raw, "query_string": b""}
    return {**scope, "method": method} if kind == "http" else scope


async def passes(guard: Guard, scope: Scope, body: Sequence[bytes] = (b"{}",)) -> tuple[bool, list[Message]]:
    """Whether the request reached the application, and what was answered."""
    recorder = guard.app
    assert isinstance(recorder, Recorder)
    before, sent = len(recorder.reached), []
    chunks = iter(body)

    async def receive() -> Message:
        chunk = next(chunks, b"")
        return {"type": "http.request", "body": chunk, "more_body": bool(chunk)}

    async def send(message: Message) -> None:
        sent.append(message)

    await guard(scope, receive, send)
    return len(recorder.reached) > before, sent


def credentials(access: Access) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    yield "token", [("authorization", f"Bearer {TOKEN}")]
    yield "cookie", [("cookie", f"other=1; {access.cookie_name}={access.cookie_value}")]
    yield "none", []


def change_headers(path: str, method: str) -> list[tuple[str, str]]:
    kind = "application/octet-stream" if (method, path) == ("POST", UPLOAD_PATH) else "application/json"
    return [("x-opd", "1"), ("content-type", kind)]


def test_http_matrix(access: Access) -> None:
    guard = Guard(Recorder(), access, LEGAL_HOSTS)

    async def run() -> tuple[int, int]:
        cells = legal = 0
        for path, method, (who, auth) in product(router_paths(), METHODS, list(credentials(access))):
            is_open = not path.startswith("/api") or (method, path) in OPEN_API
            for host, origin in product(HOSTS, ORIGINS):
                headers = [
                    *(("host", value) for value in host),
                    *(("origin", value) for value in origin),
                    *auth,
                    *change_headers(path, method),
                ]
                expected = (
                    len(host) == 1
                    and host[0] in LEGAL_HOSTS
                    and origin in ((), (f"http://{host[0]}",))
                    and (who != "none" or is_open)
                )
                reached, sent = await passes(guard, scope_of("http", method, path, headers))
                assert reached is expected, (method, path, host, origin, who)
                if not reached:
                    assert sent[0]["status"] in {401, 403}
                cells += 1
                legal += reached
        return cells, legal

    cells, legal = asyncio.run(run())
    assert cells > 100_000
    assert 0 < legal < cells / 10


def test_websocket_matrix(access: Access) -> None:
    guard = Guard(Recorder(), access, LEGAL_HOSTS)

    async def run() -> int:
        legal = 0
        for path, (who, auth), host, origin in product(router_paths(), list(credentials(access)), HOSTS, ORIGINS):
            headers = [*(("host", v) for v in host), *(("origin", v) for v in origin), *auth]
            ours = len(host) == 1 and host[0] in LEGAL_HOSTS and origin in ((), (f"http://{host[0]}",))
            expected = ours and (who == "token" or (who == "cookie" and bool(origin)))
            reached, sent = await passes(guard, scope_of("websocket", "GET", path, headers))
            assert reached is expected, (path, host, origin, who)
            if not reached:
                assert [message["type"] for message in sent] == ["websocket.close"]
            legal += reached
        return legal

    assert asyncio.run(run()) == len(router_paths()) * len(LEGAL_HOSTS) * 3


@pytest.mark.parametrize("site", ["cross-site", "same-site", "CROSS-SITE", "", "none,cross-site"])
@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_other_sites_are_refused_by_what_the_browser_says(access: Access, site: str, kind: str) -> None:
    guard = Guard(Recorder(), access, LEGAL_HOSTS)
    headers = [("host", LEGAL_HOSTS[0]), ("authorization", f"Bearer {TOKEN}"), ("sec-fetch-site", site)]
    reached, _ = await passes(guard, scope_of(kind, "GET", "/api/runs", headers))
    assert not reached


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("GET", "HEAD")])
@pytest.mark.parametrize(
    "lacking",
    [
        [("content-type", "application/json")],
        [("x-opd", "1")],
        [("x-opd", "1"), ("content-type", "text/plain")],
        [("x-opd", "1"), ("content-type", "application/x-www-form-urlencoded")],
        [("x-opd", "1"), ("content-type", "multipart/form-data; boundary=x")],
        [("x-opd", "1"), ("content-type", "application/octet-stream")],
        [("x-opd", "0"), ("content-type", "application/json")],
        [("x-opd", "1"), ("x-opd", "1"), ("content-type", "application/json")],
    ],
)
async def test_changes_need_what_no_other_site_can_send(
    access: Access, method: str, lacking: list[tuple[str, str]]
) -> None:
    guard = Guard(Recorder(), access, LEGAL_HOSTS)
    headers = [("host", LEGAL_HOSTS[0]), ("authorization", f"Bearer {TOKEN}"), *lacking]
    for path in router_paths():
        if (method, path) != ("POST", UPLOAD_PATH):
            reached, sent = await passes(guard, scope_of("http", method, path, headers))
            assert not reached, (method, path)
            assert sent[0]["status"] in {403, 415}


@pytest.mark.parametrize(
    "header",
    [
        ("authorization", f"Bearer {TOKEN[:-1]}"),
        ("authorization", f"Bearer {TOKEN}x"),
        ("authorization", f"Basic {TOKEN}"),
        ("authorization", TOKEN),
        ("authorization", "Bearer "),
        ("authorization", "Bearer \xff"),
        ("cookie", f"opd_session_{PORT}=wrong"),
        ("cookie", f"opd_session_{PORT}={TOKEN}"),
        ("cookie", "opd_session_1=x"),
        ("cookie", "\x00=;;;"),
    ],
)
async def test_wrong_credentials_open_nothing(access: Access, header: tuple[str, str]) -> None:
    guard = Guard(Recorder(), access, LEGAL_HOSTS)
    scope = scope_of("http", "GET", "/api/runs", [("host", LEGAL_HOSTS[0])])
    scope["headers"].append((header[0].encode(), header[1].encode("latin-1")))
    reached, sent = await passes(guard, scope)
    assert not reached
    assert sent[0]["status"] == 401


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/opd/status", "/api//runs", "/api/nothing"])
async def test_nothing_below_api_is_open_without_a_session(access: Access, path: str) -> None:
    guard = Guard(Recorder(), access, LEGAL_HOSTS)
    reached, sent = await passes(guard, scope_of("http", "GET", path, [("host", LEGAL_HOSTS[0])]))
    assert not reached
    assert sent[0]["status"] == 401


async def test_bodies_are_cut_off_while_they_come(access: Access) -> None:
    guard = Guard(Recorder(), access, LEGAL_HOSTS)
    auth = [("host", LEGAL_HOSTS[0]), ("authorization", f"Bearer {TOKEN}"), ("x-opd", "1")]
    announced = [*auth, ("content-type", "application/json"), ("content-length", str(MAX_JSON_BYTES + 1))]
    reached, sent = await passes(guard, scope_of("http", "POST", "/api/opd/start", announced))
    assert (reached, sent[0]["status"]) == (False, 413)
    secretly = scope_of("http", "POST", "/api/opd/start", [*auth, ("content-type", "application/json")])
    _, sent = await passes(guard, secretly, [b"x" * 300_000] * 4)
    assert [message.get("status") for message in sent] == [413, None]
    upload = scope_of("http", "POST", UPLOAD_PATH, [*auth, ("content-type", "application/octet-stream")])
    reached, sent = await passes(guard, upload, [b"x" * 300_000] * 4)
    assert (reached, sent[0]["status"]) == (True, 200)


def test_a_code_opens_one_session_and_only_here(access: Access) -> None:
    from opd.api.access import AccessError

    code = access.new_code()
    access.redeem(code)
    elsewhere, changed = Access(TOKEN, PORT, "another boot").new_code(), access.new_code()[:-1] + "x"
    for wrong in (code, elsewhere, changed, "", "-", "zz-x-y", TOKEN, "-" * 256, "6b-\xff-\xff"):
        with pytest.raises(AccessError):
            access.redeem(wrong)


def test_a_code_grows_old(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    from opd.api import access as module

    code, now = access.new_code(), module.time.time()
    for later in (module.CODE_LIFETIME_S + 5, -3600):
        monkeypatch.setattr(module.time, "time", lambda later=later: now + later)
        with pytest.raises(module.AccessError):
            access.redeem(code)
    monkeypatch.undo()
    access.redeem(code)
