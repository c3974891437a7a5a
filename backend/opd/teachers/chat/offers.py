"""What a provider offers at this moment, with our dated prices beside it: the live side of the catalogue.

In: an endpoint and its key. Out: model ids as a configuration writes them, each with its price and last day where they
are known. Asking costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from opd.errors import PriceUnknownError
from opd.pricing import PricedModel, price_state, resolve_model
from opd.teachers.chat.endpoints import LOCAL, Endpoint
from opd.teachers.http import HttpClient, Policy
from opd.teachers.http_replies import NotUnderstoodError

_POLICY = Policy(timeout_s=15.0, connect_timeout_s=5.0, max_attempts=2)
_MOST_PAGES, _LONGEST_ID = 20, 200
_ANTHROPIC_VERSION = "2023-06-01"


@dataclass(frozen=True)
class Offer:
    """A model that answers now. Prices in dollars per million tokens; None where ours do not know it."""

    id: str
    """What `teacher.model` takes."""
    input_usd_per_million: float | None
    output_usd_per_million: float | None
    price_date: str | None
    retires: str | None
    """ISO date on which the provider turns it off, where announced."""


def offers(endpoint: Endpoint, key: str | None, *, today: date | None = None) -> list[Offer]:
    """The models on offer, in the provider's order.

    Raises:
        TeacherError: it cannot be reached, refuses the key, or answers with something else.
    """
    day = today or datetime.now(UTC).date()
    return [_priced(endpoint.provider, name, day) for name in _names(endpoint, key)]


def _names(endpoint: Endpoint, key: str | None) -> Iterator[str]:
    is_anthropic = endpoint.api == "anthropic"
    headers = {"anthropic-version": _ANTHROPIC_VERSION, **({"x-api-key": key} if key else {})} if is_anthropic else {}
    path, after = ("/v1/models?limit=1000" if is_anthropic else "/models"), ""
    with HttpClient(endpoint.base_url, key=None if is_anthropic else key, headers=headers, policy=_POLICY) as http:
        for _ in range(_MOST_PAGES):
            body = http.get(path + after).body
            entries = body.get("data") if isinstance(body, dict) else None
            if not isinstance(entries, list):
                raise NotUnderstoodError(
                    f"{endpoint.origin} gives no list of models in the usual form.",
                    hint="Type the model's name; the list is only a help.",
                )
            for entry in entries:
                if isinstance(entry, dict) and _is_name(entry.get("id")):
                    yield str(entry["id"]).removeprefix("models/")  # Gemini's
            if not (is_anthropic and body.get("has_more") and _is_name(body.get("last_id"))):
                return
            after = f"&after_id={body['last_id']}"


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_ID and value.isprintable()


def _priced(provider: str, name: str, day: date) -> Offer:
    found = None if provider == LOCAL else _price(f"{provider}/{name}")
    if found is None or price_state(found, day) == "stale":
        return Offer(f"{provider}/{name}", None, None, None, None)
    return Offer(
        id=f"{provider}/{name}",
        input_usd_per_million=float(found.base.input),
        output_usd_per_million=float(found.base.output),
        price_date=found.price_date.isoformat(),
        retires=found.retirement.isoformat() if found.retirement else None,
    )


def _price(model: str) -> PricedModel | None:
    try:
        return resolve_model(model)
    except PriceUnknownError:
        return None
