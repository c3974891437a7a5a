"""How each kind of server is asked for the log-probabilities of given tokens, and where its answer holds them.

In: token ids and K. Out: path and JSON body; and from the answer's JSON a `Scored`, the same for all kinds. Nothing is
judged here (see `scoring_checks`) and nothing is sent.

    vllm       /completions, `prompt_logprobs`; also `opd serve`. K up to the server's --max-logprobs (20 if not set)
    sglang     /generate beside /v1, `input_ids` and `return_logprob`
    fireworks  /completions, `echo` with `logprobs` and `top_logprobs`; K up to 5
    together   /completions, `echo` with `logprobs`; text goes in, so the tokens that come back are compared; K up to 20
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from opd.pricing import Usage
from opd.teachers.http_replies import NotUnderstoodError

DialectName = Literal["vllm", "sglang", "fireworks", "together"]
Listed = list[tuple[int, float]]


@dataclass(frozen=True)
class Scored:
    """What an answer says about each token of a sequence, as it stands there. Entry i belongs to token i."""

    ids: list[int] | None
    """The tokens that the server says it scored; None where it does not say."""
    observed: list[float | None]
    """Log-probability of each token given those before; None where there is none (the first)."""
    listed: list[Listed | None]
    """(token, log-probability) of the likeliest tokens at each place."""
    model: str | None
    usage: Usage
    texts: list[str | None] | None = None
    """What the server says each token stands for; None where it does not say."""


class TokenTexts(Protocol):
    """The texts of a tokenizer's tokens, for servers that speak in texts."""

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of a sequence, special tokens included."""
        ...

    def id_of(self, text: str) -> int | None:
        """The token with this text; None where there is none, or more than one."""
        ...


@dataclass(frozen=True)
class Dialect:
    """One kind of server."""

    name: DialectName
    most_listed: int | None
    """Largest K; None: as the server is configured."""
    below_v1: bool
    """Whether paths are below the /v1 of the base address, or beside it."""
    takes_ids: bool
    """Whether token ids can be sent."""
    request: Callable[[str, Sequence[int], int, TokenTexts | None], tuple[str, dict[str, Any]]]
    read: Callable[[Mapping[str, Any], Sequence[int], TokenTexts | None], Scored]


def _ask_vllm(model: str, ids: Sequence[int], k: int, texts: TokenTexts | None) -> tuple[str, dict[str, Any]]:
    return "/completions", {
        "model": model,
        "prompt": list(ids),
        "max_tokens": 1,
        "temperature": 1.0,
        "prompt_logprobs": k,
        "return_token_ids": True,
    }


def _read_vllm(body: Mapping[str, Any], ids: Sequence[int], texts: TokenTexts | None) -> Scored:
    choice = body["choices"][0]
    entries = choice.get("prompt_logprobs")
    if entries is None:
        return Scored(choice.get("prompt_token_ids"), [], [], body.get("model"), _usage(body.get("usage")))
    observed: list[float | None] = []
    listed: list[Listed | None] = []
    words: list[str | None] = []
    for place, entry in enumerate(entries):
        own = (entry or {}).get(str(ids[place])) if place < len(ids) else None
        words.append(own.get("decoded_token") if own else None)
        if entry is None:
            observed.append(None)
            listed.append(None)
            continue
        values = {int(token): float(found["logprob"]) for token, found in entry.items()}
        observed.append(values.get(ids[place]) if place < len(ids) else None)
        listed.append(sorted(values.items(), key=lambda pair: -pair[1]))
    usage = _usage(body.get("usage"))
    return Scored(choice.get("prompt_token_ids"), observed, listed, body.get("model"), usage, words)


def _ask_sglang(model: str, ids: Sequence[int], k: int, texts: TokenTexts | None) -> tuple[str, dict[str, Any]]:
    return "/generate", {
        "input_ids": list(ids),
        "sampling_params": {"temperature": 1.0, "max_new_tokens": 0},
        "return_logprob": True,
        "logprob_start_len": 0,
        "top_logprobs_num": k,
    }


def _read_sglang(body: Mapping[str, Any], ids: Sequence[int], texts: TokenTexts | None) -> Scored:
    facts = body["meta_info"]
    entries = facts.get("input_token_logprobs") or []
    tops = facts.get("input_top_logprobs") or [None] * len(entries)
    return Scored(
        ids=[int(entry[1]) for entry in entries],
        observed=[None if entry[0] is None else float(entry[0]) for entry in entries],
        listed=[None if top is None else [(int(token), float(value)) for value, token, *_ in top] for top in tops],
        model=facts.get("model"),
        usage=Usage(
            input_tokens=int(facts.get("prompt_tokens", 0)),
            cached_input_tokens=min(int(facts.get("cached_tokens", 0)), int(facts.get("prompt_tokens", 0))),
            output_tokens=int(facts.get("completion_tokens", 0)),
        ),
        texts=[entry[2] if len(entry) > 2 else None for entry in entries],
    )


def _ask_fireworks(model: str, ids: Sequence[int], k: int, texts: TokenTexts | None) -> tuple[str, dict[str, Any]]:
    return "/completions", {
        "model": model,
        "prompt": list(ids),
        "max_tokens": 1,
        "temperature": 1.0,
        "echo": True,
        "logprobs": True,
        "top_logprobs": k,
        "return_token_ids": True,
    }


def _read_fireworks(body: Mapping[str, Any], ids: Sequence[int], texts: TokenTexts | None) -> Scored:
    choice = body["choices"][0]
    # The one token that had to be generated comes last; with `echo` everything before it is the prompt.
    made = int((body.get("usage") or {}).get("completion_tokens", 1))
    content = (choice.get("logprobs") or {}).get("content") or []
    entries = content[: len(content) - made]
    return Scored(
        ids=[int(entry["token_id"]) for entry in entries],
        observed=[None if not i or e.get("logprob") is None else float(e["logprob"]) for i, e in enumerate(entries)],
        listed=[
            [(int(top["token_id"]), float(top["logprob"])) for top in e.get("top_logprobs") or []] if i else None
            for i, e in enumerate(entries)
        ],
        model=body.get("model"),
        usage=_usage(body.get("usage")),
        texts=[entry.get("token") for entry in entries],
    )


def _ask_together(model: str, ids: Sequence[int], k: int, texts: TokenTexts | None) -> tuple[str, dict[str, Any]]:
    return "/completions", {
        "model": model,
        "prompt": _need(texts).text_of(ids),
        "max_tokens": 1,
        "temperature": 1.0,
        "echo": True,
        "logprobs": k,
    }


def _read_together(body: Mapping[str, Any], ids: Sequence[int], texts: TokenTexts | None) -> Scored:
    known = _need(texts)
    part = ((body.get("prompt") or [{}])[0].get("logprobs")) or {}
    words: list[str] = part.get("tokens") or []
    found = part.get("token_ids")
    tops = part.get("top_logprobs") or [None] * len(words)
    listed: list[Listed | None] = []
    for top in tops:
        # Texts that name no single token keep their place under a number that no token has.
        pairs = [(known.id_of(text), float(value)) for text, value in (top or {}).items()]
        listed.append([(-1 - i if token is None else token, value) for i, (token, value) in enumerate(pairs)] or None)
    return Scored(
        ids=[int(token) for token in found] if found else _ids_from_texts(words, ids, known),
        observed=[None if value is None else float(value) for value in part.get("token_logprobs") or []],
        listed=listed,
        model=body.get("model"),
        usage=_usage(body.get("usage")),
        texts=list(words),
    )


def _ids_from_texts(words: Sequence[str], ids: Sequence[int], texts: TokenTexts) -> list[int]:
    """Tokens of the returned texts: where one is ambiguous, the sent one if its text is the same."""
    found = []
    for place, word in enumerate(words):
        token = texts.id_of(word)
        if token is None and place < len(ids) and texts.text_of([ids[place]]) == word:
            token = ids[place]
        found.append(-1 if token is None else token)
    return found


def _need(texts: TokenTexts | None) -> TokenTexts:
    if texts is None:
        raise NotUnderstoodError(
            "A server of the together dialect takes text, and the teacher's tokenizer is not known.",
            hint="Set teacher.tokenizer to the folder or id of the teacher's tokenizer.",
        )
    return texts


def _usage(counted: Mapping[str, Any] | None) -> Usage:
    counted = counted or {}
    details = counted.get("prompt_tokens_details") or {}
    made = counted.get("completion_tokens_details") or {}
    sent, written = int(counted.get("prompt_tokens") or 0), int(counted.get("completion_tokens") or 0)
    return Usage(
        input_tokens=sent,
        cached_input_tokens=min(int(details.get("cached_tokens") or 0), sent),
        output_tokens=written,
        reasoning_tokens=min(int(made.get("reasoning_tokens") or 0), written),
    )


DIALECTS: dict[DialectName, Dialect] = {
    "vllm": Dialect("vllm", None, True, True, _ask_vllm, _read_vllm),
    "sglang": Dialect("sglang", None, False, True, _ask_sglang, _read_sglang),
    "fireworks": Dialect("fireworks", 5, True, True, _ask_fireworks, _read_fireworks),
    "together": Dialect("together", 20, True, False, _ask_together, _read_together),
}


def read_usage(counted: Mapping[str, Any] | None) -> Usage:
    """Usage as OpenAI-compatible servers count it; zeros where they do not."""
    return _usage(counted)
