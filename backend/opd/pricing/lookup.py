"""Names -> prices: finds a model in the installed price data, and says what cannot be priced.

In: names as people write them, such as `openai/gpt-4o-mini` or `anthropic/claude-3.5-sonnet`. Out: a `PricedModel`, or
a refusal that names the nearest models. Reads the data inside the `genai-prices` package and nothing else: no network,
no price that changes while a run goes on.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from opd.errors import PriceUnknownError
from opd.pricing.convert import price_at, price_providers
from opd.pricing.records import PricedModel, PriceState, Rates

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider

STALE_AFTER = timedelta(days=90)
SANE_USD_PER_MILLION = (Decimal("0.001"), Decimal(1000))

CHAT_PROVIDERS = (
    "openai", "anthropic", "google", "mistral", "deepseek", "x-ai", "groq", "together", "fireworks", "cerebras",
    "moonshotai", "openrouter",
)  # fmt: skip
_ALIASES = {"gemini": "google", "xai": "x-ai", "grok": "x-ai", "mistralai": "mistral", "fireworks-ai": "fireworks"}
# Models that take or give something other than text, or search on the way: no teachers.
_NOT_A_TEACHER = re.compile(
    r"embed|tts|whisper|image|audio|realtime|transcri|moderation|search|rerank|dall-e|sora|veo|lyria|imagen|video|"
    r"computer-use|robotics|guard|ocr|^ft:|\.ft-|voxtral|orpheus|live|deep-research|instruct$|davinci|babbage|^ada$|"
    r"curie|codex|:free$|:batch$|:extended$|native"
)


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A paid teacher to choose: prices in dollars per million tokens, dates in ISO form."""

    id: str
    provider: str
    name: str
    input_usd_per_million: float
    output_usd_per_million: float
    cached_input_usd_per_million: float | None
    context_tokens: int | None
    price_date: str
    retires: str | None
    tiered: bool


def resolve_model(name: str, *, when: datetime | None = None) -> PricedModel:
    """Find the price of a model.

    Args:
        name: `provider/model`; a bare model name is accepted where it belongs to one provider alone.
        when: the moment whose price is wanted; None is now.

    Raises:
        PriceUnknownError: unknown provider or model, or a model that has no price for text; names the nearest.
    """
    provider, model = _split_name(name)
    info = _find(provider, model)
    if info is None:
        raise _unknown(name, provider, model)
    priced = price_at(provider, info, when or datetime.now(UTC))
    if priced is None:
        raise PriceUnknownError(
            f"{provider.id}/{info.id} has no price for text in and text out.",
            hint="Choose a chat model, or type the price per million tokens yourself.",
        )
    return priced


def typed_price(
    name: str, input_usd_per_million: str | float, output_usd_per_million: str | float, *, on: date | None = None
) -> PricedModel:
    """A price that the user typed, in dollars per million tokens. Both 0 says that the teacher is free.

    Raises:
        PriceUnknownError: no number, or outside 0.001 to 1000, where a price per token or per thousand was meant.
    """
    rates = [_typed(value) for value in (input_usd_per_million, output_usd_per_million)]
    low, high = SANE_USD_PER_MILLION
    if rates != [0, 0] and not all(low <= rate <= high for rate in rates):
        raise PriceUnknownError(
            f"A price of {rates[0]} and {rates[1]} was typed; expected {low} to {high} US dollars per million tokens.",
            hint="Prices are per million tokens: 0.15 for gpt-4o-mini's input. For a free teacher type 0 for both.",
        )
    day = on or datetime.now(UTC).date()
    provider, _, model = name.partition("/")
    tier = Rates(0, rates[0], rates[0], rates[0], rates[1], rates[1])
    price_id = f"typed {rates[0]}/{rates[1]} {day.isoformat()}"
    return PricedModel(provider, model or name, model or name, price_id, day, "typed", (tier,))


def price_state(model: PricedModel, today: date) -> PriceState:
    """Whether a price may be relied on: `stale` is over 90 days old, `retired` is past the model's last day."""
    if model.source == "typed":
        return "typed"
    if model.retirement is not None and today > model.retirement:
        return "retired"
    return "stale" if today - model.price_date > STALE_AFTER else "current"


def require_trusted(model: PricedModel, today: date) -> None:
    """Refuse to spend on a price that may be wrong or a model that is gone.

    Raises:
        PriceUnknownError: stale or retired; the hint says what to do instead.
    """
    state = price_state(model, today)
    if state == "retired":
        raise PriceUnknownError(
            f"{model.id} was shut down on {model.retirement}; expected a model that still answers.",
            hint="Choose another teacher; `opd estimate --scenarios` and the catalogue list current ones.",
        )
    if state == "stale":
        raise PriceUnknownError(
            f"The price of {model.id} is from {model.price_date}, more than {STALE_AFTER.days} days ago.",
            hint="Update the data with `pip install -U genai-prices`, type the price, or cap the run by tokens.",
        )


def catalogue(*, today: date | None = None, providers: tuple[str, ...] = CHAT_PROVIDERS) -> list[CatalogueEntry]:
    """Priced chat models that still answer, by provider and name."""
    day = today or datetime.now(UTC).date()
    when = datetime(day.year, day.month, day.day, tzinfo=UTC)
    entries = []
    for name in providers:
        provider = price_providers()[name]
        models = [info for info in provider.models if _is_teacher(provider, info)]
        priced = [price_at(provider, info, when) for info in models]
        entries += [
            _entry(model) for model in priced if model and model.base.output and price_state(model, day) != "retired"
        ]
    return sorted(entries, key=lambda entry: (providers.index(entry.provider), entry.id))


def is_same_model(model: PricedModel, reply_name: str) -> bool:
    """Whether the model named in a provider's reply is the one that was priced (dated snapshots are)."""
    name = reply_name.strip().lower()
    if model.source == "typed":
        return name == model.model.lower()
    info = _find(price_providers()[model.provider], name)
    return info is not None and info.id == model.model


def _is_teacher(provider: Provider, info: ModelInfo) -> bool:
    resold = provider.id == "google" and info.id.startswith("claude")  # another interface and another key
    return not (info.deprecated or resold or _NOT_A_TEACHER.search(info.id))


def _entry(model: PricedModel) -> CatalogueEntry:
    base = model.base
    return CatalogueEntry(
        id=model.id,
        provider=model.provider,
        name=model.name,
        input_usd_per_million=float(base.input),
        output_usd_per_million=float(base.output),
        cached_input_usd_per_million=float(base.cached_input) if base.cached_input != base.input else None,
        context_tokens=model.context_tokens,
        price_date=model.price_date.isoformat(),
        retires=model.retirement.isoformat() if model.retirement else None,
        tiered=len(model.tiers) > 1,
    )


# --- finding ----------------------------------------------------------------------------------------


def _split_name(name: str) -> tuple[Provider, str]:
    head, slash, rest = name.strip().lower().partition("/")
    if slash:
        provider = price_providers().get(_ALIASES.get(head, head))
        if provider is None:
            raise _unknown_provider(name, head)
        return provider, rest
    owners = [p for key in CHAT_PROVIDERS if (p := price_providers()[key]).model_match and p.model_match.is_match(head)]
    if len(owners) != 1:
        raise _unknown_provider(name, head)
    return owners[0], head


def _find(provider: Provider, model: str) -> ModelInfo | None:
    exact = next((info for info in provider.models if info.id.lower() == model), None)
    if exact is not None:
        return exact
    everyone = list(price_providers().values())
    for spelling in (model, model.replace(".", "-"), re.sub(r"-(\d+)-(\d+)(?=-|$)", r"-\1.\2", model)):
        info = provider.find_model(spelling, all_providers=everyone)
        if info is not None:
            return info
    return None


def _unknown(name: str, provider: Provider, model: str) -> PriceUnknownError:
    known = [info.id for info in provider.models]
    near = difflib.get_close_matches(model, known, n=3, cutoff=0.4)
    listed = ", ".join(f"{provider.id}/{other}" for other in near)
    hint = f"Nearest: {listed}. " if listed else ""
    return PriceUnknownError(
        f"There is no price for {name!r:.80}; expected a model of {provider.name} in the price data.",
        hint=hint + "Correct the name, type the price per million tokens, or cap the run by tokens.",
        details={"nearest": [f"{provider.id}/{other}" for other in near]},
    )


def _unknown_provider(name: str, head: str) -> PriceUnknownError:
    model = name.strip().lower().rpartition("/")[2]
    ids = {f"{key}/{info.id}": info.id for key in CHAT_PROVIDERS for info in price_providers()[key].models}
    by_model = difflib.get_close_matches(model, {value.rpartition("/")[2] for value in ids.values()}, n=3, cutoff=0.6)
    near = [full for wanted in by_model for full, short in ids.items() if short.rpartition("/")[2] == wanted][:3]
    near += [f"{key}/..." for key in difflib.get_close_matches(head, price_providers(), n=2, cutoff=0.6)]
    hint = f"Nearest: {', '.join(near)}. " if near else ""
    return PriceUnknownError(
        f"There is no price for {name!r:.80}; expected provider/model with a provider such as "
        f"{', '.join(CHAT_PROVIDERS[:4])} or openrouter.",
        hint=hint + "Correct the name, or type the price per million tokens.",
        details={"nearest": near},
    )


def _typed(value: str | float) -> Decimal:
    try:
        rate = Decimal(str(value).strip())
    except InvalidOperation:
        rate = Decimal(-1)
    if not rate.is_finite() or rate < 0:
        raise PriceUnknownError(
            f"{value!r:.40} is no price; expected US dollars per million tokens.", hint="Type a number such as 0.15."
        )
    return rate
