"""Who answers under a teacher's id: which API, at which address, with whose key, at which price.

In: a `ChatModel` of the configuration. Out: an `Endpoint` and its `PricedModel`. No network, no key values.

A provider's key belongs to the provider's own address. Whoever sets `base_url` talks to somebody else, and then the
key named `local` is used, whatever the model's id says: a configuration from a stranger cannot send a key away.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Literal

from opd.config import ChatModel
from opd.errors import ConfigError
from opd.pricing import (
    TOKENS_PRICE_ID,
    PricedModel,
    Rates,
    is_same_model,
    require_trusted,
    resolve_model,
    typed_price,
    worst_case,
)
from opd.teachers.addresses import is_private, split_address

Api = Literal["openai", "anthropic"]

PROVIDERS: dict[str, tuple[Api, str]] = {
    "openai": ("openai", "https://api.openai.com/v1"),
    "anthropic": ("anthropic", "https://api.anthropic.com"),
    "google": ("openai", "https://generativelanguage.googleapis.com/v1beta/openai"),
    "openrouter": ("openai", "https://openrouter.ai/api/v1"),
    "fireworks": ("openai", "https://api.fireworks.ai/inference/v1"),
    "together": ("openai", "https://api.together.xyz/v1"),
}
"""API and address by provider; each has a key of the same name in `opd.keys`."""
LOCAL = "local"
_ALIASES = {"gemini": "google"}
_LONGEST_ID = 200


@dataclass(frozen=True)
class Endpoint:
    """One model at one address."""

    id: str
    """As configured, such as openai/gpt-4o-mini."""
    provider: str
    model: str
    """Its name on the wire."""
    api: Api
    base_url: str
    key_name: str
    """Whose key is sent: a name known to `opd.keys`."""
    thinking_tokens: int = 0

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return split_address(self.base_url)[0]

    @property
    def is_private(self) -> bool:
        """Whether it is this machine or its own network."""
        return is_private(self.origin)


def endpoint_of(teacher: ChatModel) -> Endpoint:
    """Where a configured teacher is asked.

    Raises:
        ConfigError: an id without provider, an unknown provider, or a local one without an address.
    """
    head, slash, model = teacher.model.strip().partition("/")
    provider = _ALIASES.get(head.lower(), head.lower())
    if not slash or not model or len(model) > _LONGEST_ID or not model.isprintable():
        raise ConfigError(
            f"teacher.model is {teacher.model!r:.80}; expected provider/model.",
            hint="For example openai/gpt-4o-mini, anthropic/claude-3.5-sonnet, openrouter/… or local/qwen3:8b.",
        )
    if provider != LOCAL and provider not in PROVIDERS:
        raise ConfigError(
            f"There is no provider {head!r:.40}; known are {', '.join(PROVIDERS)} and {LOCAL}.",
            hint="For any other OpenAI-compatible server write local/MODEL and set teacher.base_url.",
        )
    api, own_address = PROVIDERS.get(provider, ("openai", ""))
    if provider == LOCAL and teacher.base_url is None:
        raise ConfigError(
            f"teacher.model is {teacher.model!r:.80}, and teacher.base_url says not where that is.",
            hint="Ollama: http://127.0.0.1:11434/v1, LM Studio: http://127.0.0.1:1234/v1, `opd serve`: what it prints.",
        )
    if api == "anthropic":
        model = model.replace(".", "-")  # claude-3.5-sonnet is how people write it, and never its name
    address = teacher.base_url or own_address
    origin, path = split_address(address)
    is_own = bool(own_address) and origin == split_address(own_address)[0]
    return Endpoint(
        id=teacher.model.strip(),
        provider=provider,
        model=model,
        api=api,
        base_url=f"{origin}{path}",
        key_name=provider if is_own else LOCAL,
        thinking_tokens=teacher.thinking_tokens,
    )


def price_of(teacher: ChatModel, *, capped_by_tokens: bool = False, today: date | None = None) -> PricedModel:
    """What the teacher's tokens cost: as typed, nothing on this machine, else from the dated price data.

    Args:
        capped_by_tokens: the run has a cap in tokens, so a price is not needed.

    Raises:
        PriceUnknownError: unknown, stale or retired, and neither typed nor capped by tokens.
        ConfigError: as `endpoint_of`.
    """
    endpoint, day = endpoint_of(teacher), today or datetime.now(UTC).date()
    if capped_by_tokens:
        return tokens_as_price(endpoint.id, day)
    if teacher.input_usd_per_million is not None and teacher.output_usd_per_million is not None:
        return typed_price(endpoint.id, teacher.input_usd_per_million, teacher.output_usd_per_million, on=day)
    if endpoint.provider == LOCAL and endpoint.is_private:
        return typed_price(endpoint.id, 0, 0, on=day)
    priced = resolve_model(endpoint.id)
    require_trusted(priced, day)
    return priced


def tokens_as_price(model_id: str, day: date) -> PricedModel:
    """A stand-in price under which the ledger counts tokens: one nano-dollar each, whichever kind."""
    provider, _, model = model_id.partition("/")
    nano = Decimal("0.001")  # dollars per million tokens
    tier = Rates(0, nano, nano, nano, nano, nano)
    return PricedModel(provider, model, model, f"{TOKENS_PRICE_ID} {day.isoformat()}", day, "typed", (tier,))


def is_free(price: PricedModel) -> bool:
    """Whether nothing this model does costs anything."""
    return worst_case(1_000_000, 1_000_000, price) == 0


def names_same_model(endpoint: Endpoint, price: PricedModel, reply_name: str) -> bool:
    """Whether a reply's model name means the model that was asked: the same, a dated snapshot, or a default tag."""
    asked, said = endpoint.model.lower(), reply_name.strip().lower()
    if said == asked or re.fullmatch(re.escape(asked) + r"(:latest|-latest|-\d{8}|-\d{4}-\d{2}-\d{2})", said):
        return True
    return price.source != "typed" and is_same_model(price, said)
