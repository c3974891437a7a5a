"""Planned calls -> money: each request priced apart, because a sum of them can fall into another tier.

In: planned calls and a price. Out: nano-dollars, low, likely and high.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from opd.estimate.calls import PlannedCalls
from opd.pricing import MAX_TOKENS, PricedModel, Usage, price

Bound = Literal["low", "likely", "high"]
BOUNDS: tuple[Bound, ...] = ("low", "likely", "high")


@dataclass(frozen=True)
class Bill:
    """What planned calls come to, by one bound."""

    num_requests: int
    input_tokens: int
    output_tokens: int
    nano_usd: int


def bill_of(calls: Sequence[PlannedCalls], model: PricedModel | None, bound: Bound, *, batch: bool = False) -> Bill:
    """Their sum. Without a price the tokens alone."""
    bills = [_bill(call, model, bound, batch) for call in calls]
    return Bill(
        num_requests=sum(bill.num_requests for bill in bills),
        input_tokens=sum(bill.input_tokens for bill in bills),
        output_tokens=sum(bill.output_tokens for bill in bills),
        nano_usd=sum(bill.nano_usd for bill in bills),
    )


def _bill(call: PlannedCalls, model: PricedModel | None, bound: Bound, batch: bool) -> Bill:
    num, written = getattr(call.num, bound), min(MAX_TOKENS, round(getattr(call.output, bound)))
    lengths = Counter(min(MAX_TOKENS, round(tokens * getattr(call.spread, bound))) for tokens in call.inputs)
    turns = num / len(call.inputs)
    nano = (
        sum(count * price(Usage(sent, 0, written), model, batch=batch) for sent, count in lengths.items())
        if model
        else 0
    )
    return Bill(
        num_requests=round(num),
        input_tokens=round(turns * sum(sent * count for sent, count in lengths.items())),
        output_tokens=round(num * written),
        nano_usd=round(turns * nano),
    )
