"""Answers in the OpenAI shape, with vLLM's additions for prompt log-probabilities."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from opd.serving.engine import TokenScores
from opd.serving.schema import ChatRequest, CompletionRequest
from opd.serving.service import Part, Service
from opd.serving.writing import Written


def usage_of(parts: Sequence[Part], written: Sequence[Written], n: int) -> dict[str, Any]:
    """Tokens of the request; a prompt counts once however many completions it has."""
    sent = sum(len(part.ids) for part in parts if part.index % n == 0)
    made = sum(len(one.ids) for one in written)
    return {
        "prompt_tokens": sent,
        "completion_tokens": made,
        "total_tokens": sent + made,
        "prompt_tokens_details": None,
    }


def envelope(service: Service, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    """What every answer and every chunk has around its choices."""
    prefix = "chatcmpl" if kind.startswith("chat") else "cmpl"
    return {
        "id": f"{prefix}-{uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": service.name,
        "choices": choices,
    }


def chat_answer(
    service: Service, request: ChatRequest, parts: Sequence[Part], written: Sequence[Written]
) -> dict[str, Any]:
    """The answer to a chat request."""
    choices = [
        {
            "index": part.index,
            "message": {"role": "assistant", "content": one.text, "refusal": None},
            "logprobs": None,
            "finish_reason": one.finish_reason,
            "stop_reason": one.stop_reason,
            **({"token_ids": list(one.ids)} if request.return_token_ids else {}),
        }
        for part, one in zip(parts, written, strict=True)
    ]
    body = {
        **envelope(service, "chat.completion", choices),
        "usage": usage_of(parts, written, request.n),
        "system_fingerprint": None,
    }
    return {**body, "prompt_token_ids": parts[0].ids} if request.return_token_ids else body


async def completion_answer(
    service: Service, request: CompletionRequest, parts: Sequence[Part], written: Sequence[Written]
) -> dict[str, Any]:
    """The answer to a completion request, scored where that was asked for."""
    k = request.prompt_logprobs
    prompts = [part for part in parts if part.index % request.n == 0]
    given = await service.score([(part.ids, k) for part in prompts]) if k is not None else []
    lists = request.logprobs
    rows = [[*part.ids, *one.ids] for part, one in zip(parts, written, strict=True)]
    scored = await service.score([(row, lists) for row in rows]) if lists is not None else []
    choices = []
    for place, (part, one) in enumerate(zip(parts, written, strict=True)):
        echoed = service.tokenizer.decode(part.ids) if request.echo else ""
        choice: dict[str, Any] = {
            "index": part.index,
            "text": echoed + one.text,
            "logprobs": None,
            "finish_reason": one.finish_reason,
            "stop_reason": one.stop_reason,
            "prompt_logprobs": None,
        }
        if scored:
            start = 0 if request.echo else len(part.ids)
            choice["logprobs"] = _legacy_logprobs(service, rows[place], scored[place], start)
        if given:
            choice["prompt_logprobs"] = _prompt_logprobs(service, part.ids, given[part.index // request.n])
        if request.return_token_ids:
            choice |= {"prompt_token_ids": part.ids, "token_ids": list(one.ids)}
        choices.append(choice)
    return {**envelope(service, "text_completion", choices), "usage": usage_of(parts, written, request.n)}


def _prompt_logprobs(service: Service, ids: Sequence[int], scores: TokenScores) -> list[dict[str, Any] | None]:
    """vLLM's form: nothing for the first token, then at each its own and the likeliest tokens by id."""
    entries: list[dict[str, Any] | None] = [None]
    for place, token in enumerate(ids[1:]):
        found = {
            top: {"logprob": value, "rank": rank, "decoded_token": service.token_text(top)}
            for rank, (top, value) in enumerate(
                zip(scores.top_ids[place], scores.top_logprobs[place], strict=True), start=1
            )
        }
        own = {
            "logprob": scores.observed[place],
            "rank": scores.ranks[place],
            "decoded_token": service.token_text(token),
        }
        entries.append({str(key): value for key, value in {token: own, **found}.items()})
    return entries


def _legacy_logprobs(service: Service, ids: Sequence[int], scores: TokenScores, start: int) -> dict[str, Any]:
    """OpenAI's older form: parallel lists from token `start` on."""
    texts = [service.token_text(token) for token in ids]
    offsets, here = [], 0
    for text in texts:
        offsets.append(here)
        here += len(text)
    tops: list[dict[str, float] | None] = [None]
    for top_ids, values in zip(scores.top_ids, scores.top_logprobs, strict=True):
        tops.append({service.token_text(token): value for token, value in zip(top_ids, values, strict=True)})
    first = offsets[start] if start < len(offsets) else here
    return {
        "tokens": texts[start:],
        "token_logprobs": [None, *scores.observed][start:],
        "top_logprobs": tops[start:],
        "text_offset": [offset - first for offset in offsets[start:]],
    }
