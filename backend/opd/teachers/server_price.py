"""What a scoring server's tokens cost: as typed, nothing where it is yours, else from the dated price data.

In: a `ServerTeacher` of the configuration. Out: a `PricedModel`, or None where nothing is paid. No network.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

from opd.config import ServerTeacher
from opd.pricing import PricedModel, require_trusted, resolve_model, typed_price
from opd.teachers.addresses import is_private, split_address
from opd.teachers.chat.endpoints import is_free, tokens_as_price

_SOLD = ("fireworks", "together")
"""Dialects of providers that sell tokens; the others are spoken by servers that people run themselves."""


def price_of_server(
    teacher: ServerTeacher, *, capped_by_tokens: bool = False, today: date | None = None
) -> PricedModel | None:
    """Its price, or None where nothing is paid: a server of your own, or one whose price was typed as 0.

    Args:
        capped_by_tokens: the run has a cap in tokens, so a price is not needed.

    Raises:
        PriceUnknownError: it is sold, and its price is unknown, stale or of a model that is gone.
        ConfigError: an address that cannot be used.
    """
    day, name = today or datetime.now(UTC).date(), name_of_server(teacher)
    if teacher.input_usd_per_million is not None and teacher.output_usd_per_million is not None:
        typed = typed_price(name, teacher.input_usd_per_million, teacher.output_usd_per_million, on=day)
        if is_free(typed):
            return None
        return tokens_as_price(name, day) if capped_by_tokens else typed
    if teacher.dialect not in _SOLD or is_private(split_address(teacher.base_url)[0]):
        return None
    if capped_by_tokens:
        return tokens_as_price(name, day)
    priced = resolve_model(name)
    require_trusted(priced, day)
    return priced


def name_of_server(teacher: ServerTeacher) -> str:
    """As the ledger lists it."""
    return f"{teacher.dialect}/{teacher.model}"
