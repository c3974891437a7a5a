"""Usage -> money: dated prices, retirement dates, the scenario table.

In: model names and token counts. Out: integer nano-dollars, with the id of the price that was used. Knows nothing of
runs, budgets or HTTP; reads no network. An unknown or stale price is refused, never taken for zero.
"""

from opd.pricing.convert import price_data_date
from opd.pricing.lookup import (
    CatalogueEntry,
    catalogue,
    is_same_model,
    price_state,
    require_trusted,
    resolve_model,
    typed_price,
)
from opd.pricing.records import (
    MAX_TOKENS,
    NANO_PER_USD,
    TOKENS_PRICE_ID,
    PricedModel,
    PriceState,
    Rates,
    Usage,
    price,
    usd,
    worst_case,
)
from opd.pricing.scenarios import (
    ASSUMPTIONS,
    WHY_REAL_DIFFERS,
    ScenarioRow,
    cents,
    render_scenarios,
    scenario_table,
)

__all__ = [
    "ASSUMPTIONS",
    "MAX_TOKENS",
    "NANO_PER_USD",
    "TOKENS_PRICE_ID",
    "WHY_REAL_DIFFERS",
    "CatalogueEntry",
    "PriceState",
    "PricedModel",
    "Rates",
    "ScenarioRow",
    "Usage",
    "catalogue",
    "cents",
    "is_same_model",
    "price",
    "price_data_date",
    "price_state",
    "render_scenarios",
    "require_trusted",
    "resolve_model",
    "scenario_table",
    "typed_price",
    "usd",
    "worst_case",
]
