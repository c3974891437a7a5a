"""Every way to fail, by name: what the provider does instead of answering.

A fault with `turns_away` refuses before it has worked, and bills nothing. Every other one has worked, and bills: that
is what makes a lost reply expensive.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Literal

Body = dict[str, Any]
Manner = Literal["answer", "hang", "drip", "reset", "cut"]


@dataclass(frozen=True)
class Fault:
    """How one request goes wrong.

    `status`, `headers` and `content` replace the answer's; `change` spoils the answer itself, in the API's own form
    (`openai` or `anthropic` tells which). `{key}` in the content is replaced by the key that came with the request.
    """

    status: int = 200
    headers: Callable[[], dict[str, str]] = dict
    content: bytes | None = None
    change: Callable[[Body, str], Any] | None = None
    manner: Manner = "answer"
    turns_away: bool = False
    bills: int = 1
    """Times the true tokens that are charged."""
    facts: dict[str, Any] = field(default_factory=dict)


def error(status: int, code: str, message: str, **headers: str) -> Fault:
    """A refusal in the shape that both providers use, near enough for a client."""
    body = {"type": "error", "error": {"type": code, "code": code, "message": message}}
    return Fault(status, lambda: headers, json.dumps(body).encode(), turns_away=True)


def failure(status: int, message: str) -> Fault:
    """A failure in the middle of the work."""
    body = {"type": "error", "error": {"type": "api_error", "message": message}}
    return Fault(status, content=json.dumps(body).encode())


def _in_a_minute() -> dict[str, str]:
    return {"retry-after": format_datetime(datetime.now(UTC) + timedelta(minutes=1), usegmt=True)}


# --- spoiled answers -----------------------------------------------------------------------------


def _text(body: Body, api: str, text: Any) -> Body:
    if api == "anthropic":
        body["content"] = [{"type": "text", "text": text}] if text is not None else []
    else:
        body["choices"][0]["message"]["content"] = text
    return body


def _ending(body: Body, api: str, openai: str, anthropic: str) -> Body:
    if api == "anthropic":
        body["stop_reason"] = anthropic
    else:
        body["choices"][0]["finish_reason"] = openai
    return body


def _refusal(body: Body, api: str) -> Body:
    if api == "openai":
        body["choices"][0]["message"] |= {"content": None, "refusal": "I cannot help with that."}
        return body
    body["stop_details"] = {"type": "refusal", "category": None, "explanation": "I cannot help with that."}
    return _ending(_text(body, api, ""), api, "", "refusal")


def _usage(**counts: Any) -> Callable[[Body, str], Body]:
    def change(body: Body, api: str) -> Body:
        names = {"input": "input_tokens", "output": "output_tokens"}
        if api == "openai":
            names = {"input": "prompt_tokens", "output": "completion_tokens"}
            body["usage"].pop("total_tokens", None)
        body["usage"] |= {names[name]: count for name, count in counts.items()}
        return body

    return change


def _without(name: str) -> Callable[[Body, str], Body]:
    return lambda body, api: {key: value for key, value in body.items() if key != name}


def _more(factor: int) -> Callable[[Body, str], Body]:
    def change(body: Body, api: str) -> Body:
        usage = body["usage"]
        total = usage.pop("total_tokens", None)
        for name, count in usage.items():
            usage[name] = count * factor
        return body if total is None else {**body, "usage": {**usage, "total_tokens": total * factor}}

    return change


def _inside(code: int, message: str) -> Callable[[Body, str], Body]:
    return lambda body, api: {"error": {"code": code, "message": message}}


FAULTS: dict[str, Fault] = {
    # refused before any work
    "rate_limit": error(429, "rate_limit_error", "Slow down.", **{"retry-after": "2"}),
    "rate_limit_until_a_date": Fault(429, _in_a_minute, b'{"error": {"message": "Slow down."}}', turns_away=True),
    "rate_limit_without_a_time": error(429, "rate_limit_error", "Slow down."),
    "rate_limit_for_an_hour": error(429, "rate_limit_error", "Slow down.", **{"retry-after": "3600"}),
    "overloaded": error(529, "overloaded_error", "Overloaded"),
    "unavailable": error(503, "service_unavailable", "The engine is currently overloaded."),
    "quota": error(429, "insufficient_quota", "You exceeded your current quota.", **{"retry-after": "1"}),
    "payment": error(402, "payment_required", "Insufficient credits."),
    "credit": error(400, "invalid_request_error", "Your credit balance is too low to access the API."),
    "unauthorized": error(401, "authentication_error", "Incorrect API key provided: {key}."),
    "forbidden": error(403, "permission_error", "Your key {key} may not use this model."),
    "not_found": error(404, "not_found_error", "The model does not exist."),
    "redirect": Fault(307, lambda: {"location": "http://127.0.0.1:9/elsewhere"}, b"", turns_away=True),
    "bad_request": error(400, "invalid_request_error", "Unsupported value; your key was {key}."),
    "too_large": error(413, "request_too_large", "Request exceeds the maximum size."),
    "unprocessable": error(422, "invalid_request_error", "messages: Input should be a valid list."),
    # worked on, and then the answer is lost
    "server_error": failure(500, "Internal server error; key {key}."),
    "bad_gateway": failure(502, "Bad gateway"),
    "gateway_timeout": failure(504, "The upstream did not answer."),
    "request_timeout": failure(408, "Request timeout"),
    "hang": Fault(manner="hang"),
    "drip": Fault(manner="drip"),
    "reset": Fault(manner="reset"),
    "cut": Fault(manner="cut"),
    "truncated_json": Fault(change=lambda body, api: json.dumps(body).encode()[:-20]),
    "nothing": Fault(content=b""),
    "html": Fault(headers=lambda: {"content-type": "text/html"}, content=b"<html>Log in to the hotel's Wi-Fi</html>"),
    "endless": Fault(content=b'"' + b"x" * (17 * 1024 * 1024) + b'"'),
    "deep_json": Fault(content=b"[" * 200_000 + b"]" * 200_000),
    "packed": Fault(
        headers=lambda: {"content-encoding": "gzip"}, content=gzip.compress(b"[" + b" " * 10_000_000 + b"]")
    ),
    "failure_inside": Fault(change=_inside(502, "Provider returned error")),
    "payment_inside": Fault(content=b'{"error": {"code": 402, "message": "Insufficient credits"}}', turns_away=True),
    # received, and of no use
    "refusal": Fault(change=_refusal),
    "content_filter": Fault(change=lambda body, api: _ending(body, api, "content_filter", "refusal")),
    "length": Fault(change=lambda body, api: _ending(body, api, "length", "max_tokens")),
    "empty": Fault(change=lambda body, api: _text(body, api, " \n" if api == "openai" else None)),
    "garbled": Fault(change=lambda body, api: _text(body, api, "half a \ud83d character")),
    "nul": Fault(change=lambda body, api: _text(body, api, "zero \x00 byte")),
    "tool_call": Fault(change=lambda body, api: _ending(body, api, "tool_calls", "tool_use")),
    "other_model": Fault(change=lambda body, api: {**body, "model": "gpt-3.5-turbo"}),
    "no_model": Fault(change=_without("model")),
    "usage_missing": Fault(change=_without("usage")),
    "usage_negative": Fault(change=_usage(input=-5)),
    "usage_huge": Fault(change=_usage(output=10**12)),
    "usage_zero": Fault(change=_usage(input=0, output=0)),
    "usage_fraction": Fault(change=_usage(output=2.5)),
    "usage_text": Fault(change=_usage(input="many")),
    "overcharge": Fault(change=_more(5), bills=5),
    "no_answer": Fault(change=lambda body, api: {"model": body["model"], "usage": body["usage"]}),
    "a_list": Fault(change=lambda body, api: [1, 2, 3]),
}
