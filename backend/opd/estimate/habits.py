"""How long a teacher's answers are: seen in those that are kept, else assumed.

In: kept replies to a run's own questions, such as the three of the probe. Out: `Habits`, from which every stage's
requests are reckoned. All counts are tokens as the provider counts them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from opd.pricing import Usage
from opd.teachers.base import Message
from opd.teachers.tasks.marks import parts_of

BYTES_PER_TOKEN = 4
TEMPLATE_TOKENS = 4  # a message
_PART_TOKENS = 25  # a sentence
_FEWEST_SEEN = 2


@dataclass(frozen=True)
class Range:
    """A guess with its bounds, `low` to `high`."""

    low: float
    likely: float
    high: float

    def times(self, factor: float) -> Range:
        return Range(self.low * factor, self.likely * factor, self.high * factor)

    def at_most(self, limit: float) -> Range:
        return Range(min(self.low, limit), min(self.likely, limit), min(self.high, limit))


@dataclass(frozen=True)
class Seen:
    """One kept answer: what was sent, by our reckoning, what the provider counted, and what it wrote."""

    sent: int
    usage: Usage
    text: str


@dataclass(frozen=True)
class Habits:
    """What is known about a teacher.

    Attributes:
        num_seen: answers that this is from; 0: nothing is known, and the ranges are wide.
        answer: tokens of an answer, without thinking.
        thinking: tokens of thinking before an answer.
        input_factor: the provider's count of what is sent, by ours.
        parts: sentences or short lines of an answer, which are marked one by one.
    """

    num_seen: int
    answer: Range
    thinking: Range
    input_factor: Range
    parts: Range


def sent_tokens(messages: Sequence[Message]) -> int:
    """Tokens of a request by our reckoning: four bytes each, and some for every message's frame."""
    return sum(text_tokens(str(message["content"])) + TEMPLATE_TOKENS for message in messages)


def text_tokens(text: str) -> int:
    """Tokens of a text by our reckoning. Bytes and not characters: a Chinese character is about one token."""
    return math.ceil(len(text.encode("utf-8", "surrogatepass")) / BYTES_PER_TOKEN)


def habits_of(seen: Sequence[Seen], *, limit: int, thinking: int) -> Habits:
    """What a teacher does, from what was seen of it.

    Args:
        limit: longest answer, tokens.
        thinking: tokens that it may think on top of that.
    """
    if len(seen) < _FEWEST_SEEN:
        answer = Range(0.1 * limit, 0.6 * limit, limit)
        parts = Range(*(max(1.0, tokens / _PART_TOKENS) for tokens in (answer.low, answer.likely, answer.high)))
        return Habits(0, answer, Range(0, 0.5 * thinking, thinking), Range(0.75, 1.0, 1.6), parts)
    written = [one.usage.output_tokens - one.usage.reasoning_tokens for one in seen]
    factor = sum(one.usage.input_tokens for one in seen) / sum(one.sent for one in seen)
    answer = _around(written).at_most(limit)
    marked = statistics.fmean(len(parts_of(one.text)) for one in seen)
    return Habits(
        num_seen=len(seen),
        answer=answer,
        thinking=_around([one.usage.reasoning_tokens for one in seen]).at_most(thinking),
        input_factor=Range(0.85 * factor, factor, 1.15 * factor),
        parts=Range(0.7 * marked, marked, 1.4 * marked),
    )


def _around(counts: Sequence[int]) -> Range:
    """The mean, and how far the mean of many more may be from it: two standard errors, a quarter at least."""
    mean = statistics.fmean(counts)
    margin = max(0.25 * mean, 2 * statistics.stdev(counts) / math.sqrt(len(counts)))
    return Range(max(0.4 * mean, mean - margin), mean, mean + margin)
