"""The price library's records -> our rates.

In: a model of `genai-prices` and a moment. Out: rates by threshold, discounts and the price's date. Knows nothing of
names as people write them.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from opd.pricing.records import PricedModel, Rates
from opd.pricing.supplement import BATCH_FACTORS, RETIREMENTS

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices


@lru_cache(maxsize=1)
def price_providers() -> dict[str, Provider]:
    """The installed price data by provider id."""
    from genai_prices.data import providers  # 0.3 s: only when a price is wanted

    return {provider.id: provider for provider in providers}


@lru_cache(maxsize=1)
def price_data_date() -> date:
    """A day up to which the installed price data is known to be current.

    The data carries no date of its own. OpenRouter's price changes are imported as they happen, several a week, so the
    newest of them is at most some days older than the data. Others announce prices ahead, which proves nothing.
    """
    history = price_providers()["openrouter"].models
    days = [start for info in history for start in _start_dates(info)]
    return max(days)


@lru_cache(maxsize=1)
def _data_version() -> str:
    """Of the price library. The package's metadata is read and parsed for it: once, not for each of 300 models."""
    return version("genai-prices")


def price_at(asked: Provider, info: ModelInfo, when: datetime) -> PricedModel | None:
    """The model's price at a moment, or None when it has no text price."""
    standard, dearest_hour = _prices_at(info, when)
    tiers = _tiers(standard)
    if not tiers:
        return None
    batch: tuple[Rates, ...] = ()
    if any(variant.when == {"processing": "batch"} for variant in info.price_variants or ()):
        batch = _tiers(info.get_prices(when, {"processing": "batch"}))
    elif asked.id in BATCH_FACTORS:
        batch = tuple(_scaled(rates, BATCH_FACTORS[asked.id]) for rates in tiers)
    per_thousand = getattr(standard, "requests_kcount", None) or Decimal(0)
    day = min(price_data_date(), when.date())
    # Azure, Amazon and others sell models whose price stands under the maker's name.
    owner = next(p for p in (asked, *price_providers().values()) if any(other is info for other in p.models))
    return PricedModel(
        provider=asked.id,
        model=info.id,
        name=info.name or info.id,
        price_id=f"genai-prices {_data_version()} {owner.id}/{info.id} {day.isoformat()}",
        price_date=day,
        source="genai-prices",
        tiers=tiers,
        batch_tiers=batch,
        per_request_usd=per_thousand / 1000,
        retirement=RETIREMENTS.get((asked.id, info.id)),
        context_tokens=info.context_window,
        dearest_hour=dearest_hour,
    )


def _prices_at(info: ModelInfo, when: datetime) -> tuple[ModelPrice, bool]:
    """The standard price on that day; of prices that depend on the hour, the dearest."""
    from genai_prices.types import ModelPrice, TimeOfDateConstraint

    if isinstance(info.prices, ModelPrice):
        return info.prices, False
    hourly = [item.prices for item in info.prices if isinstance(item.constraint, TimeOfDateConstraint)]
    usual = info.get_prices(when)
    if not hourly:
        return usual, False
    return max([usual, *hourly], key=lambda prices: [rates.output for rates in _tiers(prices)]), True


def _start_dates(info: ModelInfo) -> list[date]:
    from genai_prices.types import ModelPrice, StartDateConstraint

    if isinstance(info.prices, ModelPrice):
        return []
    return [item.constraint.start_date for item in info.prices if isinstance(item.constraint, StartDateConstraint)]


def _tiers(prices: ModelPrice) -> tuple[Rates, ...]:
    """Rates by threshold; empty where text input or output has no price."""
    from genai_prices.types import TieredPrices

    if prices.input_mtok is None or prices.output_mtok is None:
        return ()
    kinds = [prices.input_mtok, prices.cache_read_mtok, prices.cache_write_mtok, prices.output_mtok]
    kinds.append(prices.output_reasoning_mtok)
    starts = {0} | {tier.start for kind in kinds if isinstance(kind, TieredPrices) for tier in kind.tiers}

    def at(kind: Decimal | TieredPrices | None, start: int, otherwise: Decimal) -> Decimal:
        if kind is None:
            return otherwise
        if isinstance(kind, Decimal):
            return kind
        return next((tier.price for tier in reversed(kind.tiers) if tier.start <= start and start), kind.base)

    tiers = []
    for start in sorted(starts):
        fresh = at(prices.input_mtok, start, Decimal(0))
        output = at(prices.output_mtok, start, Decimal(0))
        cached, written, reasoning = (
            at(kind, start, other)
            for kind, other in zip((kinds[1], kinds[2], kinds[4]), (fresh, fresh, output), strict=True)
        )
        tiers.append(Rates(start, fresh, cached, written, output, reasoning))
    return tuple(tiers)


def _scaled(rates: Rates, factor: Decimal) -> Rates:
    return Rates(
        rates.above_input_tokens,
        rates.input * factor,
        rates.cached_input * factor,
        rates.cache_write * factor,
        rates.output * factor,
        rates.reasoning * factor,
    )
