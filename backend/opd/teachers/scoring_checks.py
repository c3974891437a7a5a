"""Whether a server's scores are about the tokens that were sent; if so, the laws at a completion's positions.

In: the sent ids and a `Scored`. Out: `TokenLaws`, or a named error. A run must never be trained on numbers that
belong to other tokens, and every way in which servers have been seen to do that has its own error here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from opd.teachers.base import (
    FewerListedError,
    NoScoresError,
    OtherIdsError,
    OtherModelError,
    RetokenisedError,
    ShiftedError,
    TokenLaws,
    TruncatedError,
)
from opd.teachers.dialects import Listed, Scored

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A log-probability in the list and the token's own must be the same number, up to rounding on the wire.
_SAME_NATS = 1e-2
# Servers write -9999 for "impossible"; no gradient needs more than this.
_LEAST_LOGPROB = -100.0
_SEND_IDS = "Use a server that takes token ids (vLLM, SGLang, opd serve) and the tokenizer that it was started with."


def read_laws(
    ids: Sequence[int], first: int, scored: Scored, *, k: int, model: str, vocab_size: int | None
) -> TokenLaws:
    """The laws at positions first… of `ids`.

    Args:
        k: how many tokens were asked for at each position; 0: only the observed one.
        vocab_size: K cannot be more; None where it is not known.

    Raises:
        TeacherError: one of `opd.teachers.base`; the scores are not about these tokens.
    """
    if scored.model is not None and scored.model != model:
        raise OtherModelError(
            f"The server answered as {scored.model!r}, expected {model!r}.",
            hint="Set teacher.model to the name under which the server offers the teacher.",
        )
    if not scored.observed:
        raise NoScoresError(
            "The server's answer holds no log-probabilities of the given tokens.",
            hint="Check teacher.dialect; a chat API that cannot score given tokens is a teacher of type chat.",
        )
    _check_ids(ids, scored)
    _check_places(ids, first, scored)
    _check_listed(first, scored, k if vocab_size is None else min(k, vocab_size))
    return _as_arrays(ids, first, scored)


def _check_ids(ids: Sequence[int], scored: Scored) -> None:
    sent, found = list(ids), scored.ids
    num = len(scored.observed)
    if found is not None and len(found) == num and found != sent:
        if num < len(sent) and found in (sent[:num], sent[len(sent) - num :]):
            raise _truncated(len(sent), num)
        if num == len(sent) and (found[:-1] == sent[1:] or found[1:] == sent[:-1]):
            raise _shifted("its tokens are those sent, one place off")
        if num != len(sent):
            raise _retokenised(len(sent), num)
        place = next(i for i in range(num) if found[i] != sent[i])
        raise OtherIdsError(
            f"The server scored token {found[place]} at place {place}, but {sent[place]} was sent there.",
            hint=_SEND_IDS,
            details={"place": place, "sent": sent[place], "scored": found[place]},
        )
    if num < len(sent):
        raise _truncated(len(sent), num)
    if num > len(sent):
        raise _retokenised(len(sent), num)


def _check_places(ids: Sequence[int], first: int, scored: Scored) -> None:
    """Every position has its number, and it is the number of that token and not of its neighbour."""
    observed, num = scored.observed, len(ids)
    if observed[0] is not None:
        raise _shifted("the first token has a number, though nothing comes before it")
    missing = [place for place, value in enumerate(observed) if place and (value is None or not math.isfinite(value))]
    if missing:
        after = [place for place in missing if place + 1 < num and _lists(scored.listed[place], ids[place + 1])]
        before = [place for place in missing if _lists(scored.listed[place], ids[place - 1])]
        if len(after) > len(missing) / 2 or len(before) > len(missing) / 2 or missing in ([1], [num - 1]):
            raise _shifted(f"{len(missing)} places hold a neighbour's number or none")
        raise OtherIdsError(
            f"{len(missing)} of {num} places do not hold the token that was sent there.",
            hint=_SEND_IDS,
            details={"places": missing[:10]},
        )
    wrong = [place for place in range(first, num) if not _agrees(ids[place], observed[place], scored.listed[place])]
    if len(wrong) > 0.02 * (num - first):
        raise _shifted(f"at {len(wrong)} of {num - first} places a token's number is not the one in the list beside it")


def _lists(listed: Listed | None, token: int) -> bool:
    return any(found == token for found, _ in listed or [])


def _agrees(token: int, value: float | None, listed: Listed | None) -> bool:
    if value is None or not listed:
        return value is not None
    inside = dict(listed).get(token)
    if inside is not None:
        return abs(inside - value) <= _SAME_NATS
    return value <= min(other for _, other in listed) + _SAME_NATS


def check_offset(one: Scored, other: Scored) -> None:
    """Two sequences that differ in their last token only: exactly the last number may differ.

    A server that is off by one in everything it says is consistent in itself; this is what gives it away.

    Raises:
        ShiftedError: another number differs, or the last one does not.
    """
    pairs = list(zip(one.observed, other.observed, strict=True))
    same = [
        left == right if left is None or right is None else abs(left - right) <= _SAME_NATS for left, right in pairs
    ]
    if not all(same[:-1]):
        raise _shifted("a token's number changes with the token that comes after it")
    if same[-1]:
        raise _shifted("the last token's number does not change with the token")


def _check_listed(first: int, scored: Scored, k: int) -> None:
    if k == 0:
        return
    lengths = [len(listed or []) for listed in scored.listed]
    empty = [place for place, length in enumerate(lengths) if place and length == 0]
    if empty in ([1], [len(lengths) - 1]) and min(length for length in lengths if length) >= k:
        raise _shifted("one place beside the first has no list")
    fewest = min(lengths[first:], default=k)
    if fewest < k:
        raise FewerListedError(
            f"The server lists {fewest} tokens at a position, {k} were asked for.",
            hint=f"Set objective.top_k to {fewest} or less, or start the server with a higher limit "
            "(vLLM: --max-logprobs).",
            details={"listed": fewest, "asked": k},
        )


def _as_arrays(ids: Sequence[int], first: int, scored: Scored) -> TokenLaws:
    import numpy as np

    num = len(ids) - first
    rows = []
    for place in range(first, len(ids)):
        values = {token: value for token, value in scored.listed[place] or [] if token >= 0}
        values[ids[place]] = scored.observed[place] or 0.0
        rows.append(values)
    width = max((len(row) for row in rows), default=0)
    tokens: NDArray[np.int64] = np.full((num, width), -1, dtype=np.int64)
    logprobs: NDArray[np.float32] = np.full((num, width), -np.inf, dtype=np.float32)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = list(row)
        logprobs[i, : len(row)] = [min(0.0, max(_LEAST_LOGPROB, value)) for value in row.values()]
    observed = np.array([min(0.0, max(_LEAST_LOGPROB, value or 0.0)) for value in scored.observed[first:]], np.float32)
    return TokenLaws(tokens, logprobs, observed)


def _shifted(what: str) -> ShiftedError:
    return ShiftedError(
        f"The server's log-probabilities are not where they belong: {what}.",
        hint="Entry i must be log p(token i | tokens before i). Update the server, or use another one.",
    )


def _truncated(sent: int, scored: int) -> TruncatedError:
    return TruncatedError(
        f"The server scored {scored:,} of {sent:,} tokens.",
        hint="Its context is too short: start it with a longer one (vLLM: --max-model-len), or shorten prompts and "
        "completions.",
        details={"sent": sent, "scored": scored},
    )


def _retokenised(sent: int, scored: int) -> RetokenisedError:
    return RetokenisedError(
        f"The server scored {scored:,} tokens where {sent:,} were sent: it divided the text anew.",
        hint=_SEND_IDS,
        details={"sent": sent, "scored": scored},
    )
