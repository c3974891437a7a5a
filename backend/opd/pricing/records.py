"""Usage, prices and the arithmetic between them, in integer nano-dollars.

In: token counts and rates in dollars per million tokens. Out: nano-dollars (10^-9 USD), rounded up once per request.
Knows nothing of providers or of where prices come from.

One request is priced at a time: above a threshold of input tokens some providers charge every token of the request
more, so pricing the sum of many requests as one can be wrong five times over.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, Decimal, localcontext
from typing import Literal

from opd.errors import InputError

NANO_PER_USD = 1_000_000_000
MAX_TOKENS = 100_000_000
"""More than any model takes or writes in one request: a larger count is a broken reply."""

PriceState = Literal["current", "stale", "retired", "typed"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request, as the provider reports them.

    `cached_input_tokens` and `cache_write_tokens` are part of `input_tokens`; `reasoning_tokens` are part of
    `output_tokens`.

    Raises:
        InputError: a count that is no whole number, negative, absurdly large, or larger than the whole it is part of.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            count = getattr(self, name)
            if type(count) is not int or not 0 <= count <= MAX_TOKENS:
                raise _absurd(f"{name} is {count!r:.40}; expected a whole number from 0 to {MAX_TOKENS:,}.")
        if self.cached_input_tokens + self.cache_write_tokens > self.input_tokens:
            raise _absurd("More cached input tokens than input tokens; expected a part of them.")
        if self.reasoning_tokens > self.output_tokens:
            raise _absurd("More reasoning tokens than output tokens; expected a part of them.")

    def __add__(self, other: Usage) -> Usage:
        """Sum of counts, for display; never price a sum."""
        return Usage(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


def _absurd(message: str) -> InputError:
    return InputError(message, hint="The provider's usage report cannot be trusted; the call counts at its worst case.")


@dataclass(frozen=True, slots=True)
class Rates:
    """Dollars per million tokens that hold for requests with more than `above_input_tokens` input tokens."""

    above_input_tokens: int
    input: Decimal
    cached_input: Decimal
    cache_write: Decimal
    output: Decimal
    reasoning: Decimal


TOKENS_PRICE_ID = "no price: one nano-dollar stands for one token"


@dataclass(frozen=True, slots=True)
class PricedModel:
    """A paid teacher with its price.

    `tiers` are sorted by threshold, the first at 0; `batch_tiers` is empty where no batch discount is known.
    `price_id` names the price in ledger rows: source, version, model and date. `dearest_hour` is set where the price
    depends on the time of day: the dearest hour is charged, so that the ledger never counts too little.
    """

    provider: str
    model: str
    name: str
    price_id: str
    price_date: date
    source: Literal["genai-prices", "typed"]
    tiers: tuple[Rates, ...]
    batch_tiers: tuple[Rates, ...] = ()
    per_request_usd: Decimal = Decimal(0)
    retirement: date | None = None
    context_tokens: int | None = None
    dearest_hour: bool = False

    @property
    def counts_tokens(self) -> bool:
        """A stand-in: one nano-dollar is one token."""
        return self.price_id.startswith(TOKENS_PRICE_ID)

    @property
    def id(self) -> str:
        """What a configuration writes: provider and model."""
        return f"{self.provider}/{self.model}"

    @property
    def base(self) -> Rates:
        """Rates of a short request."""
        return self.tiers[0]


def price(usage: Usage, model: PricedModel, *, batch: bool = False) -> int:
    """Cost of one request in nano-dollars, exact and then rounded up.

    Args:
        batch: the request went through the provider's batch interface; without a known discount it costs the same.
    """
    rates = _tier(model, usage.input_tokens, batch)
    fresh = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens
    with localcontext() as context:
        context.prec = 60
        micro_usd = (
            fresh * rates.input
            + usage.cached_input_tokens * rates.cached_input
            + usage.cache_write_tokens * rates.cache_write
            + (usage.output_tokens - usage.reasoning_tokens) * rates.output
            + usage.reasoning_tokens * rates.reasoning
            + model.per_request_usd * 1_000_000
        )
        return int((micro_usd * 1000).to_integral_value(ROUND_CEILING))


def worst_case(max_input_tokens: int, max_output_tokens: int, model: PricedModel) -> int:
    """The most that one request can cost, in nano-dollars: what the ledger reserves before it is sent.

    Takes the dearest reading of every token (fresh or written to the cache, plain or reasoning) in the dearest tier
    that the request can reach.

    Args:
        max_input_tokens: an upper bound; the number of UTF-8 bytes plus the template's overhead is one.
        max_output_tokens: the limit sent with the request, reasoning included.
    """
    Usage(input_tokens=max_input_tokens, output_tokens=max_output_tokens)
    reached = [
        rates for rates in model.tiers if rates.above_input_tokens == 0 or max_input_tokens > rates.above_input_tokens
    ]
    with localcontext() as context:
        context.prec = 60
        micro_usd = max(
            max_input_tokens * max(rates.input, rates.cached_input, rates.cache_write)
            + max_output_tokens * max(rates.output, rates.reasoning)
            for rates in reached
        )
        return int(((micro_usd + model.per_request_usd * 1_000_000) * 1000).to_integral_value(ROUND_CEILING))


def _tier(model: PricedModel, input_tokens: int, batch: bool) -> Rates:
    tiers = model.batch_tiers if batch and model.batch_tiers else model.tiers
    return next(
        rates for rates in reversed(tiers) if rates.above_input_tokens == 0 or input_tokens > rates.above_input_tokens
    )


def usd(nano: int) -> Decimal:
    """Nano-dollars as exact dollars."""
    return Decimal(nano).scaleb(-9)
