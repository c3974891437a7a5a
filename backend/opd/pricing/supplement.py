"""What the price data does not say, with the date on which it was read and where.

Constants only. Read on 2026-11-23. Shutdown dates: the deprecation notes inside the `openai` 3.54.0 package
(`types/shared/chat_model.py`, from https://developers.openai.com/api/docs/deprecations) and the table in the
`anthropic` 2.12.0 package (`resources/messages/messages.py`, from
https://docs.claude.com/en/docs/about-claude/model-deprecations); Claude 3.5 Sonnet: the notice of 2025-08-13 on that
page. Batch discounts: both providers publish half the price for their batch interfaces.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

SUPPLEMENT_DATE = date(2026, 11, 23)

BATCH_FACTORS = {"openai": Decimal("0.5"), "anthropic": Decimal("0.5")}
"""Used where the price data has no batch price of its own."""

_SHUTDOWNS: dict[str, dict[date, tuple[str, ...]]] = {
    "openai": {
        date(2026, 2, 17): ("chatgpt-4o-latest",),
        date(2026, 7, 23): ("gpt-4o-search-preview",),
        date(2026, 9, 28): ("gpt-3.5-turbo-1106",),
        date(2026, 10, 23): (
            "gpt-4.1-nano",
            "o4-mini",
            "o3-mini",
            "o1",
            "gpt-4o-2024-05-13",
            "gpt-4-turbo",
            "gpt-4",
            "gpt-3.5-turbo",
        ),
        date(2025, 7, 28): ("o1-preview",),
        date(2025, 10, 27): ("o1-mini",),
        date(2024, 9, 13): ("gpt-3.5-turbo-16k", "gpt-3.5-turbo-0613", "gpt-3.5-0301"),
        date(2025, 6, 6): ("gpt-4-32k",),
        date(2024, 12, 6): ("gpt-4-vision-preview",),
        date(2026, 12, 11): ("gpt-5", "gpt-5-mini", "gpt-5-nano", "o3"),
        date(2027, 1, 14): ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini"),
        date(2027, 4, 1): ("gpt-5.1", "gpt-5.4-nano"),
    },
    "anthropic": {
        date(2024, 11, 6): ("claude-v1",),
        date(2025, 7, 21): ("claude-2", "claude-3-sonnet"),
        date(2025, 10, 22): ("claude-3-5-sonnet",),
        date(2026, 1, 5): ("claude-3-opus-latest",),
        date(2026, 2, 19): ("claude-3-7-sonnet-latest", "claude-3-5-haiku-latest"),
        date(2026, 6, 15): ("claude-opus-4-0", "claude-sonnet-4-0"),
        date(2026, 11, 30): ("claude-sonnet-4-5",),
    },
}

RETIREMENTS: dict[tuple[str, str], date] = {
    (provider, model): day
    for provider, by_day in _SHUTDOWNS.items()
    for day, models in by_day.items()
    for model in models
}
"""Last day by (provider, model id of the price data)."""
