"""The server: takes a request in either wire format, bills it, and answers or fails as it was told to."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self
from uuid import uuid4

from fake_provider.bill import Invoice
from fake_provider.brains import Brain, Spoken
from fake_provider.faults import FAULTS, Fault
from loopback import serving

MODELS = ("gpt-4o-mini", "claude-sonnet-4-6", "tiny")
_PATHS = {"/v1/chat/completions": "openai", "/v1/messages": "anthropic"}


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def key(self) -> str:
        """The key that came with it, in either provider's header."""
        return self.headers.get("x-api-key") or self.headers.get("authorization", "").removeprefix("Bearer ")


class FakeProvider:
    """A provider on loopback; use it in a `with` statement, or mount it as an ASGI application.

    Args:
        key: the only one that is accepted; None: any, also none.
    """

    def __init__(self, brain: Brain, *, key: str | None = None):
        self.brain, self.key, self.url = brain, key, ""
        self.invoice = Invoice()
        self.seen: list[Seen] = []
        self.listed: list[str] = []
        self.most_under_way = 0
        self._under_way = 0
        self._faults: deque[Fault] = deque()
        self._always: Fault | None = None
        self._lock = threading.Lock()
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        self.url = self._exit.enter_context(serving(self))
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def fail(self, name: str, times: int | None = None) -> None:
        """Let the next `times` requests fail like this; None: all of them, until told otherwise."""
        with self._lock:
            if times is None:
                self._always = FAULTS[name]
            else:
                self._faults.extend([FAULTS[name]] * times)

    def behave(self) -> None:
        """No more faults."""
        with self._lock:
            self._always = None
            self._faults.clear()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        raw = await _body(receive)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        if scope["path"] == "/v1/models":
            self.listed.append(Seen(scope["path"], headers, {}).key)
            entries = [{"id": model, "object": "model", "type": "model", "display_name": model} for model in MODELS]
            await _reply(send, 200, {}, json.dumps({"object": "list", "data": entries, "has_more": False}).encode())
            return
        api = _PATHS.get(scope["path"])
        if api is None:
            await _reply(send, 404, {}, b'{"error": {"message": "no such path"}}')
            return
        seen = Seen(scope["path"], headers, json.loads(raw))
        with self._lock:
            self.seen.append(seen)
            self._under_way += 1
            self.most_under_way = max(self.most_under_way, self._under_way)
            fault = self._faults.popleft() if self._faults else self._always
        try:
            await self._serve(seen, api, fault or Fault(), receive, send)
        finally:
            with self._lock:
                self._under_way -= 1

    async def _serve(self, seen: Seen, api: str, fault: Fault, receive: Any, send: Any) -> None:
        if self.key is not None and seen.key != self.key:
            fault = FAULTS["unauthorized"]
        if fault.turns_away:
            await _reply(send, fault.status, fault.headers(), _fill(fault.content, seen.key))
            return
        body, model = seen.body, str(seen.body["model"])
        most = int(body.get("max_completion_tokens") or body["max_tokens"])
        messages = list(body["messages"])
        if body.get("system"):
            messages.insert(0, {"role": "system", "content": body["system"]})
        spoken = await self.brain.speak(messages, most, float(body.get("temperature", 1.0)), int(body.get("seed", 0)))
        self.invoice.charge(model, fault.bills * spoken.input_tokens, fault.bills * spoken.output_tokens)
        answer: Any = (anthropic_form if api == "anthropic" else openai_form)(model, spoken)
        if fault.change is not None:
            answer = fault.change(answer, api)
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        if fault.content is not None:
            content = _fill(fault.content, seen.key)
        await _in_manner(fault, content, receive, send)


def openai_form(model: str, spoken: Spoken) -> dict[str, Any]:
    """A chat completion."""
    message = {"role": "assistant", "content": spoken.text, "refusal": None}
    return {
        "id": f"chatcmpl-{uuid4().hex}",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": spoken.finish_reason}],
        "usage": {
            "prompt_tokens": spoken.input_tokens,
            "completion_tokens": spoken.output_tokens,
            "total_tokens": spoken.input_tokens + spoken.output_tokens,
        },
    }


def anthropic_form(model: str, spoken: Spoken) -> dict[str, Any]:
    """A message."""
    return {
        "id": f"msg_{uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": spoken.text}],
        "stop_reason": {"stop": "end_turn", "length": "max_tokens"}[spoken.finish_reason],
        "stop_sequence": None,
        "usage": {"input_tokens": spoken.input_tokens, "output_tokens": spoken.output_tokens},
    }


async def _in_manner(fault: Fault, content: bytes, receive: Any, send: Any) -> None:
    if fault.manner == "answer":
        await _reply(send, fault.status, fault.headers(), content)
        return
    if fault.manner == "hang":
        await _until_gone(receive)
        return
    length = {"content-type": "application/json", "content-length": str(len(content))}
    await _start(send, 200, length)
    if fault.manner in ("cut", "reset"):
        arrived = content[:-5] if fault.manner == "cut" else b""
        await send({"type": "http.response.body", "body": arrived, "more_body": True})
        raise ConnectionResetError("as told")
    gone = asyncio.ensure_future(_until_gone(receive))
    for place in range(len(content)):  # a byte now and then: never silent, never done
        await send({"type": "http.response.body", "body": content[place : place + 1], "more_body": True})
        done, _ = await asyncio.wait({gone}, timeout=0.05)
        if done:
            return


async def _until_gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(receive: Any) -> bytes:
    raw = b""
    while True:
        message = await receive()
        raw += message.get("body", b"")
        if not message.get("more_body"):
            return raw


async def _start(send: Any, status: int, headers: dict[str, str]) -> None:
    named = {"content-type": "application/json", **headers}
    pairs = [(name.encode(), value.encode()) for name, value in named.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})


async def _reply(send: Any, status: int, headers: dict[str, str], content: bytes) -> None:
    await _start(send, status, headers)
    await send({"type": "http.response.body", "body": content})


def _fill(content: bytes | None, key: str) -> bytes:
    return (content or b"").replace(b"{key}", key.encode())
