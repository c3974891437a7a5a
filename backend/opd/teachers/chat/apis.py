"""The two wire formats: how a question is put, and where in a reply things stand.

In: an `Ask`. Out: the request's body in the API's own words; from a reply's JSON, a `Reading` with nothing judged yet.
Which values are plausible is `readings`' business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opd.teachers.chat.asks import Ask, plain_messages
from opd.teachers.chat.endpoints import Endpoint


@dataclass(frozen=True)
class Reading:
    """What a reply says, as it says it."""

    text: str
    ending: str
    """stop, length, refusal, filtered or what else the API calls it."""
    refusal: str | None
    model: str
    request_id: str
    usage: Mapping[str, Any] | None
    """Counts under our names; None where there is no account at all."""


def request_body(ask: Ask, endpoint: Endpoint) -> dict[str, Any]:
    """The request. Sampling at the API's own default is left out: some models take nothing else, not even when said."""
    sampling, messages = ask.sampling, plain_messages(ask.messages)
    chosen = {
        name: value for name, value in (("temperature", sampling.temperature), ("top_p", sampling.top_p)) if value != 1
    }
    most = ask.max_output_tokens(endpoint)
    if endpoint.api == "anthropic":
        system = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
        body: dict[str, Any] = {
            "model": endpoint.model,
            "messages": [m for m in messages if m["role"] != "system"],
            "max_tokens": most,
        }
        # The SDK's current version has no argument for sampling, because the newest models take none; older ones do.
        return {**body, **({"system": system} if system else {}), **({"extra_body": chosen} if chosen else {})}
    limit = "max_completion_tokens" if endpoint.provider == "openai" else "max_tokens"
    # An equal seed for every sample would give one answer many times where it is honoured.
    seed = {} if sampling.seed is None else {"seed": sampling.seed + ask.sample}
    return {"model": endpoint.model, "messages": messages, limit: most, **chosen, **seed}


def read_reply(body: Any, endpoint: Endpoint) -> Reading:
    """Where things stand in a reply.

    Raises:
        ValueError, TypeError, KeyError, IndexError, AttributeError: it is not of this form.
    """
    return _read_anthropic(body) if endpoint.api == "anthropic" else _read_openai(body)


_OPENAI_ENDINGS = {"content_filter": "filtered", "eos": "stop"}
_ANTHROPIC_ENDINGS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
}


def _read_openai(body: Any) -> Reading:
    choice = body["choices"][0]
    message = choice["message"]
    refusal = message.get("refusal")
    ending = str(choice.get("finish_reason") or "")
    return Reading(
        text=_text(message.get("content")),
        ending="refusal" if refusal else _OPENAI_ENDINGS.get(ending, ending),
        refusal=str(refusal) if refusal else None,
        model=str(body.get("model") or ""),
        request_id=str(body.get("id") or ""),
        usage=_openai_usage(body.get("usage")),
    )


def _openai_usage(usage: Any) -> dict[str, Any] | None:
    if not isinstance(usage, dict) or "prompt_tokens" not in usage or "completion_tokens" not in usage:
        return None
    sent, written, total = usage["prompt_tokens"], usage["completion_tokens"], usage.get("total_tokens")
    if type(total) is type(sent) is type(written) is int:
        written = max(written, total - sent)  # some providers do not count their thinking as completion
    return {
        "input_tokens": sent,
        "cached_input_tokens": _part(usage, "prompt_tokens_details", "cached_tokens"),
        "cache_write_tokens": _part(usage, "prompt_tokens_details", "cache_write_tokens"),
        "output_tokens": written,
        "reasoning_tokens": _part(usage, "completion_tokens_details", "reasoning_tokens"),
    }


def _read_anthropic(body: Any) -> Reading:
    parts = [part for part in body["content"] if part.get("type") == "text"]
    ending = str(body.get("stop_reason") or "")
    details = body.get("stop_details") or {}
    explanation = details.get("explanation") if isinstance(details, dict) else None
    return Reading(
        text="".join(_text(part["text"]) for part in parts),
        ending=_ANTHROPIC_ENDINGS.get(ending, ending),
        refusal=str(explanation) if ending == "refusal" and explanation else None,
        model=str(body.get("model") or ""),
        request_id=str(body.get("id") or ""),
        usage=_anthropic_usage(body.get("usage")),
    )


def _anthropic_usage(usage: Any) -> dict[str, Any] | None:
    if not isinstance(usage, dict) or "input_tokens" not in usage or "output_tokens" not in usage:
        return None
    fresh, cached, written = (
        0 if usage.get(name) is None else usage[name]
        for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )
    parts = (fresh, cached, written)
    is_whole = all(type(part) is int and part >= 0 for part in parts)
    return {
        "input_tokens": sum(parts) if is_whole else -1,  # any part that is no count spoils the sum
        "cached_input_tokens": cached,
        "cache_write_tokens": written,
        "output_tokens": usage["output_tokens"],
        "reasoning_tokens": _part(usage, "output_tokens_details", "thinking_tokens"),
    }


def _part(usage: Mapping[str, Any], group: str, name: str) -> Any:
    details = usage.get(group)
    value = details.get(name) if isinstance(details, dict) else None
    return 0 if value is None else value


def _text(content: Any) -> str:
    """A message's text: a string, or parts of which some are text.

    Raises:
        TypeError: neither.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if part.get("type") == "text")
    raise TypeError("A message's content is neither text nor parts.")
