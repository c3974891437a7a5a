"""What a received reply is worth: an answer to train on, or one that is set aside with its reason.

In: the bytes of a reply. Out: the usage to be billed (None: count the worst case) and an `Answer`. Every doubt ends in
a named problem; an answer with one is kept, shown, and never trained on. The same bytes always give the same answer,
so a cached reply is read exactly as a fresh one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from opd.errors import InputError
from opd.pricing import PricedModel, Usage
from opd.teachers.base import Answer, Problem
from opd.teachers.chat.apis import Reading, read_reply
from opd.teachers.chat.asks import Ask
from opd.teachers.chat.endpoints import Endpoint, is_free, names_same_model

REASONS: dict[Problem, str] = {
    "refusal": "The teacher refused to answer.",
    "filtered": "The provider's content filter cut the answer.",
    "truncated": "The answer was cut at the length limit.",
    "empty": "The answer has no text.",
    "garbled": "The answer holds characters that are no text.",
    "other_ending": "The answer ended in a way that is no end of a text.",
    "other_model": "Another model than the configured one answered.",
    "usage_missing": "The reply does not say how many tokens it cost; it is counted at its worst case.",
    "usage_absurd": "The reply's token counts cannot be true; it is counted at its worst case.",
    "overcharged": "The provider charged more tokens than the request allowed.",
    "not_understood": "The reply is JSON, but no chat answer.",
    "request_refused": "The provider does not accept this request.",
}
_FINISH: dict[str, Literal["stop", "length", "refusal"]] = {
    "stop": "stop",
    "length": "length",
    "refusal": "refusal",
    "filtered": "refusal",
}
_ABSURD_FACTOR = 10
_LONGEST_NAME = 200
_LONGEST_REFUSAL = 2000


@dataclass(frozen=True)
class Verdict:
    """An answer, and what is to be billed for it; None is the worst case."""

    answer: Answer
    billed: Usage | None


def assess(content: bytes, ask: Ask, endpoint: Endpoint, price: PricedModel) -> Verdict:
    """Read a reply and say what it is worth."""
    try:
        reading = read_reply(json.loads(content), endpoint)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return Verdict(set_aside("not_understood"), None)
    usage, doubt = _account(reading, ask, endpoint, price)
    problem = doubt or _problem(reading, endpoint, price)
    answer = Answer(
        text="" if problem == "garbled" else reading.text,
        finish_reason=_FINISH.get(reading.ending, "other"),
        usage=usage or Usage(),
        refusal=_clean(reading.refusal)[:_LONGEST_REFUSAL] if reading.refusal else None,
        details={"model": _clean(reading.model)[:_LONGEST_NAME], "id": _clean(reading.request_id)[:_LONGEST_NAME]},
        problem=problem,
        reason=_words(problem, reading, endpoint) if problem else "",
    )
    return Verdict(answer, usage)


def set_aside(problem: Problem, refusal: str | None = None) -> Answer:
    """An answer without text, for a reply that holds none."""
    return Answer("", "other", Usage(), refusal=refusal, problem=problem, reason=REASONS[problem])


def _account(reading: Reading, ask: Ask, endpoint: Endpoint, price: PricedModel) -> tuple[Usage | None, Problem | None]:
    """What to bill, and what is wrong with the reply's own account. A free teacher needs none."""
    if is_free(price):
        return _counted(reading.usage), None
    if reading.usage is None:
        return None, "usage_missing"
    usage = _counted(reading.usage)
    most_in, most_out = ask.max_input_tokens(), ask.max_output_tokens(endpoint)
    if (
        usage is None
        or usage.input_tokens == 0
        or (usage.output_tokens == 0 and reading.text)
        or usage.input_tokens > _ABSURD_FACTOR * most_in
        or usage.output_tokens > _ABSURD_FACTOR * most_out
    ):
        return None, "usage_absurd"
    is_more = usage.input_tokens > most_in or usage.output_tokens > most_out
    return usage, "overcharged" if is_more else None


def _counted(counts: Any) -> Usage | None:
    try:
        return Usage(**counts)
    except (InputError, TypeError):
        return None


def _problem(reading: Reading, endpoint: Endpoint, price: PricedModel) -> Problem | None:
    if not (is_free(price) and not reading.model) and not names_same_model(endpoint, price, reading.model):
        return "other_model"
    if reading.ending in ("refusal", "filtered"):
        return "refusal" if reading.ending == "refusal" else "filtered"
    if not _is_text(reading.text):
        return "garbled"
    if reading.ending == "length":
        return "truncated"
    if reading.ending != "stop":
        return "other_ending"
    return None if reading.text.strip() else "empty"


def _words(problem: Problem, reading: Reading, endpoint: Endpoint) -> str:
    if problem == "other_model":
        said = repr(_clean(reading.model)[:_LONGEST_NAME]) if reading.model else "none"
        return f"{REASONS[problem]} Asked: {endpoint.model!r}, named in the reply: {said}."
    return REASONS[problem]


def _is_text(text: str) -> bool:
    return "\x00" not in text and _clean(text) == text


def _clean(text: str) -> str:
    """The text as it can be written to a file: JSON can hold halves of characters, UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")
