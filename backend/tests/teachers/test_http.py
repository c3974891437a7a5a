"""The client against a real server that misbehaves in every way that servers do."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from loopback import dead_port, serving
from opd.errors import ConfigError, TeacherError
from opd.teachers.http import HttpClient, Policy
from opd.teachers.http_replies import (
    KeyRefusedError,
    NotUnderstoodError,
    OverloadedError,
    QuotaError,
    RedirectedError,
    RequestRefusedError,
    TimedOutError,
    UnclearError,
    UnreachableError,
)

KEY = "sk-canary-0123456789"
Script = Callable[[dict[str, Any], int], Any]


@dataclass
class FakeServer:
    """Answers by a script: (request, its number) to (status, headers, body), or a coroutine that sends by itself."""

    script: Script = lambda request, number: (200, {}, {"ok": True})
    seen: list[dict[str, Any]] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        request = {
            "method": scope["method"],
            "path": scope["path"],
            "headers": {name.decode(): value.decode() for name, value in scope["headers"]},
            "body": json.loads(body) if body else None,
        }
        self.seen.append(request)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            answer = self.script(request, len(self.seen))
            if isinstance(answer, Awaitable):
                answer = await answer
            if callable(answer):
                await answer(send, receive)
                return
            status, headers, content = answer
            raw = content if isinstance(content, bytes) else json.dumps(content).encode()
            await send(
                {
                    "type": "http.response.start",
                    "status": status,
                    "headers": [(n.encode(), v.encode()) for n, v in headers.items()],
                }
            )
            await send({"type": "http.response.body", "body": raw})
        finally:
            self.under_way -= 1


class Waits:
    """Takes the place of sleeping: remembers for how long."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def server() -> Iterator[tuple[FakeServer, str]]:
    fake = FakeServer()
    with serving(fake) as address:
        yield fake, address


def client(address: str, waits: Waits | None = None, key: str | None = KEY, **policy: Any) -> HttpClient:
    settings = {"timeout_s": 20.0, "max_attempts": 3, **policy}
    return HttpClient(address + "/v1", key=key, policy=Policy(**settings), sleep=waits or Waits())


def test_sends_json_below_the_base_address_with_the_key(server: tuple[FakeServer, str]) -> None:
    fake, address = server
    with client(address) as http:
        assert http.post("/score", {"a": [1, 2]}).body == {"ok": True}
        assert http.get("/models").status == 200
    assert [(r["method"], r["path"], r["body"]) for r in fake.seen] == [
        ("POST", "/v1/score", {"a": [1, 2]}),
        ("GET", "/v1/models", None),
    ]
    assert fake.seen[0]["headers"]["authorization"] == f"Bearer {KEY}"


def test_without_a_key_none_is_sent(server: tuple[FakeServer, str]) -> None:
    fake, address = server
    with client(address, key=None) as http:
        http.get("/models")
    assert "authorization" not in fake.seen[0]["headers"]


def test_answers_come_in_the_order_of_the_questions_and_never_too_many_at_once(server: tuple[FakeServer, str]) -> None:
    fake, address = server
    gate = threading.Barrier(3, timeout=10)

    async def answer(request: dict[str, Any], number: int) -> Any:
        await asyncio.to_thread(gate.wait)  # goes on only when three are under way together
        return 200, {}, {"n": request["body"]["n"]}

    fake.script = answer
    with client(address, max_concurrency=3) as http:
        replies = http.post_many([("/score", {"n": n}) for n in range(9)])
    assert [reply.body["n"] for reply in replies] == list(range(9))
    assert fake.most_under_way == 3


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_asked_again(server: tuple[FakeServer, str], status: int) -> None:
    fake, address = server
    fake.script = lambda request, number: (status, {}, {"error": "busy"}) if number < 3 else (200, {}, {"n": number})
    waits = Waits()
    with client(address, waits) as http:
        assert http.post("/score", {}).body == {"n": 3}
    assert len(waits.seconds) == 2
    assert 0.5 <= waits.seconds[0] <= 0.75
    assert 1.0 <= waits.seconds[1] <= 1.5


def test_in_the_end_it_says_that_the_server_is_overloaded(server: tuple[FakeServer, str]) -> None:
    fake, address = server
    fake.script = lambda request, number: (503, {}, {"error": {"message": "warming up"}})
    with client(address) as http, pytest.raises(OverloadedError, match="warming up"):
        http.post("/score", {})
    assert len(fake.seen) == 3


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"error": {"message": "prompt too long"}}, RequestRefusedError),
        (401, {"error": {"message": "invalid api key"}}, KeyRefusedError),
        (402, {"error": "no credit"}, QuotaError),
        (403, {"message": "not yours"}, KeyRefusedError),
        (404, {"error": {"message": "no such model"}}, RequestRefusedError),
        (422, {"detail": "unknown field"}, RequestRefusedError),
        (429, {"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}, QuotaError),
    ],
)
def test_what_cannot_pass_is_asked_once(
    server: tuple[FakeServer, str], status: int, body: Any, error: type[TeacherError]
) -> None:
    fake, address = server
    fake.script = lambda request, number: (status, {"retry-after": "1"}, body)
    waits = Waits()
    with client(address, waits) as http, pytest.raises(error) as caught:
        http.post("/score", {})
    assert len(fake.seen) == 1
    assert waits.seconds == []
    assert caught.value.hint


def test_retry_after_is_the_least_it_waits(server: tuple[FakeServer, str]) -> None:
    fake, address = server
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    asked = ["7", "0.25", in_a_minute]
    fake.script = lambda request, number: (
        (429, {"retry-after": asked[number - 1]}, {}) if number <= 3 else (200, {}, {})
    )
    waits = Waits()
    with client(address, waits, max_attempts=4) as http:
        http.post("/score", {})
    assert 7.0 <= waits.seconds[0] <= 7.25
    assert 1.0 <= waits.seconds[1] <= 1.5  # asked for less than the back-off
    assert 50.0 <= waits.seconds[2] <= 61.0


def test_it_does_not_wait_for_hours(server: tuple[FakeServer, str]) -> None:
    fake, address = server
    fake.script = lambda request, number: (429, {"retry-after": "7200"}, {"error": "come back later"})
    waits = Waits()
    with client(address, waits) as http, pytest.raises(OverloadedError, match="come back later"):
        http.post("/score", {})
    assert waits.seconds == []


async def _drip(send: Any, receive: Any) -> None:
    """A byte now and then, for ever: no single read takes long."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    gone = asyncio.ensure_future(receive())
    while not gone.done():
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
        await asyncio.wait([gone], timeout=0.02)


async def _hang(send: Any, receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@pytest.mark.parametrize("behaviour", [_drip, _hang])
def test_the_deadline_holds_against_servers_that_never_finish(server: tuple[FakeServer, str], behaviour: Any) -> None:
    fake, address = server
    fake.script = lambda request, number: behaviour
    with client(address, timeout_s=0.8, max_attempts=2) as http, pytest.raises(TimedOutError, match=r"0\.8 s"):
        http.post("/score", {})
    assert len(fake.seen) == 2


def test_a_paid_request_whose_answer_was_lost_is_not_asked_again(server: tuple[FakeServer, str]) -> None:
    fake, address = server
    fake.script = lambda request, number: _hang
    with client(address, timeout_s=0.6, retry_unclear=False) as http, pytest.raises(UnclearError):
        http.post("/score", {})
    assert len(fake.seen) == 1


def test_nobody_there() -> None:
    waits = Waits()
    with client(f"http://127.0.0.1:{dead_port()}", waits) as http, pytest.raises(UnreachableError, match="Start the"):
        http.post("/score", {})
    assert len(waits.seconds) == 2


def test_redirects_are_not_followed_and_the_key_stays(server: tuple[FakeServer, str]) -> None:
    fake, address = server
    other = FakeServer()
    with serving(other) as elsewhere:
        fake.script = lambda request, number: (307, {"location": elsewhere + "/v1/score?key=secret"}, b"")
        with client(address) as http, pytest.raises(RedirectedError) as caught:
            http.post("/score", {})
    assert other.seen == []
    assert elsewhere in caught.value.message
    assert "secret" not in str(caught.value)


def test_something_that_is_no_json(server: tuple[FakeServer, str]) -> None:
    fake, address = server
    fake.script = lambda request, number: (200, {}, b"<html>Welcome</html>")
    with client(address) as http, pytest.raises(NotUnderstoodError, match="Welcome"):
        http.get("/models")


def test_the_key_is_in_no_error_and_no_log(server: tuple[FakeServer, str], caplog: pytest.LogCaptureFixture) -> None:
    fake, address = server
    caplog.set_level(logging.DEBUG)
    for status in (200, 302, 400, 401, 402, 403, 404, 429, 500):
        echo = f"you sent Bearer {KEY}, that is {KEY}".encode()
        fake.script = lambda request, number, status=status, echo=echo: (status, {"location": "/x"}, echo)
        with client(address) as http, pytest.raises(TeacherError) as caught:
            http.post("/score", {"prompt": "p"})
        shown = json.dumps(caught.value.as_dict()) + str(caught.value) + repr(caught.value)
        assert KEY not in shown
        assert caught.value.__cause__ is None
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    "address",
    [
        "ftp://host/v1",
        "host:8000",
        "http://",
        "http://user:password@host/v1",
        "http://host/v1?key=1",
        "http://169.254.169.254/latest",
        "http://[fe80::1]/v1",
        "http://0.0.0.0:8000/v1",
    ],
)
def test_addresses_that_are_refused(address: str) -> None:
    with pytest.raises(ConfigError) as caught:
        HttpClient(address)
    assert "password" not in caught.value.message or "no place for secrets" in caught.value.message


def test_one_failure_ends_a_batch_with_that_error(server: tuple[FakeServer, str]) -> None:
    fake, address = server
    fake.script = lambda request, number: (400, {}, {"error": "bad"}) if request["body"]["n"] == 2 else (200, {}, {})
    with client(address, max_concurrency=2) as http, pytest.raises(RequestRefusedError, match="bad"):
        http.post_many([("/score", {"n": n}) for n in range(6)])


def test_closing_twice_is_fine(server: tuple[FakeServer, str]) -> None:
    http = client(server[1])
    http.get("/models")
    http.close()
    http.close()
