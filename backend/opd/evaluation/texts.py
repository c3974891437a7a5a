"""What can be seen from a text alone: loops, refusals, passages copied from elsewhere.

In: text. Out: yes or no. Knows nothing of models; all are heuristics for alarms and gates, tuned to be quiet.
"""

from __future__ import annotations

import re

_TAIL_CHARS = 1200
_LONGEST_UNIT = 240
_REFUSAL = re.compile(
    r"\b(?:I(?:['\u2019]m| am) (?:sorry|afraid)[,.]? (?:but )?(?:I|that|this|as)\b"
    r"|(?:I(?:['\u2019]m| am) (?:unable|not able|not allowed)) to\b"
    r"|I (?:can(?:not|['\u2019]t| not)|won['\u2019]t|will not|must decline to|have to decline to) "
    r"(?:help|assist|provide|answer|comply|give|offer|do that|discuss|fulfil|share|support|continue)"
    r"|as an? (?:AI|artificial intelligence)\b(?: language)?(?: model| assistant)?[, ]+(?:I\b|my\b))",
    re.IGNORECASE,
)


def ends_in_loop(text: str) -> bool:
    """Whether the text ends by repeating itself.

    Either the tail is one unit written at least four times over at least 20 characters (40 for a single character, 64
    for one without letters or digits: rules and dotted lines are legitimate), or the last 120 words hold less than a
    third of the four-word sequences that they have room for (loops that count or vary a little).
    """
    tail = text.rstrip()[-_TAIL_CHARS:]
    return _has_periodic_end(tail) or _is_made_of_few_phrases(tail)


def reads_like_refusal(text: str) -> bool:
    """Whether an answer opens by declining (English phrases, first 240 characters)."""
    return _REFUSAL.search(text[:240]) is not None


def shares_passage(text: str, private: str, *, num_words: int = 8) -> bool:
    """Whether `text` holds this many words of `private` in a row, case and punctuation aside."""
    ours, theirs = _words(text), _words(private)
    passages = {tuple(theirs[i : i + num_words]) for i in range(len(theirs) - num_words + 1)}
    return any(tuple(ours[i : i + num_words]) in passages for i in range(len(ours) - num_words + 1))


def _has_periodic_end(tail: str) -> bool:
    for period in range(1, min(_LONGEST_UNIT, len(tail) // 4) + 1):
        unit = tail[-period:]
        needed = 64 if not any(c.isalnum() for c in unit) else 40 if period == 1 else max(20, 4 * period)
        # Cheap look first: most periods fail within the last unit.
        if len(tail) < needed or tail[-2 * period : -period] != unit:
            continue
        length = period
        while length < len(tail) and tail[-length - 1] == tail[-length - 1 + period]:
            length += 1
        if length >= needed:
            return True
    return False


def _is_made_of_few_phrases(tail: str) -> bool:
    words = tail.split()[-120:]
    room = len(words) - 3
    return room >= 57 and len({tuple(words[i : i + 4]) for i in range(room)}) < room / 3


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())
