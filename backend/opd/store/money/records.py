"""What goes into the ledger and what comes out of it: frozen values, no database.

Money is whole nano-dollars everywhere. A call's life is
RESERVED -> SENT -> SETTLED | RELEASED | UNCERTAIN, and UNCERTAIN -> SETTLED | WRITTEN_OFF.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from opd.errors import ConfigError, StorageError
from opd.pricing import PricedModel, worst_case

State = Literal["RESERVED", "SENT", "SETTLED", "RELEASED", "UNCERTAIN", "WRITTEN_OFF"]

KEY_SCHEMA = 1
_SECRET_NAMES = ("api_key", "apikey", "authorization", "x-api-key", "token", "password")


class LedgerError(StorageError):
    """A booking that the ledger refuses because it would make its figures untrue."""

    code = "ledger_refused"


def request_key(request: Mapping[str, object], *, sample: int = 0) -> str:
    """The cache key of a paid request: SHA-256 of its canonical JSON and the sample's number.

    Args:
        request: everything the answer depends on: provider, origin, model, messages, sampling parameters, tools.
            Never the run, the time or a key.
        sample: which of several answers to the same request.

    Raises:
        ConfigError: a value that is not JSON, or a name that belongs to a secret.
    """
    found = sorted(set(_names(request)) & set(_SECRET_NAMES))
    if found:
        raise ConfigError(f"A request's key may not contain {found[0]}.", hint="Leave it out of the cache key.")
    body = {"schema": KEY_SCHEMA, "sample": sample, "request": request}
    try:
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"A request's key must be plain JSON: {error}.", hint="Use numbers, texts and lists."
        ) from None


def _names(value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [str(name).lower() for name in value] + [name for inner in value.values() for name in _names(inner)]
    return [name for inner in value for name in _names(inner)] if isinstance(value, list | tuple) else []


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A call that is about to be made.

    `key` is from `request_key`; `teacher` is the configured name; the token limits are upper bounds, and the price
    turns them into the worst case that is reserved.
    """

    key: str
    run_id: str
    stage: str
    teacher: str
    price: PricedModel
    max_input_tokens: int
    max_output_tokens: int
    batch: bool = False

    @property
    def worst_nano_usd(self) -> int:
        """The most this call can cost."""
        return worst_case(self.max_input_tokens, self.max_output_tokens, self.price)


@dataclass(frozen=True, slots=True)
class Hit:
    """The answer is already there: nothing is paid, nothing may be sent."""

    call_id: int
    body: bytes
    saved_nano_usd: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """The worst case is held, on disk. The next steps are `sent` and then the wire."""

    call_id: int
    worst_nano_usd: int


@dataclass(frozen=True, slots=True)
class InFlight:
    """Someone else is asking the same right now."""

    call_id: int
    owner: str


@dataclass(frozen=True, slots=True)
class Settled:
    """What a call cost. `overrun_nano_usd` above 0 is an alarm: the provider charged more than the reservation."""

    cost_nano_usd: int
    overrun_nano_usd: int


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found open by processes that are gone."""

    num_released: int
    num_uncertain: int


@dataclass(frozen=True, slots=True)
class Meter:
    """A budget at one moment. `possibly_paid_nano_usd` is the part of `held_nano_usd` whose fate is unknown."""

    cap_nano_usd: int | None
    spent_nano_usd: int
    held_nano_usd: int
    possibly_paid_nano_usd: int
    saved_nano_usd: int
    num_open: int
    num_uncertain: int
    num_paid: int


@dataclass(frozen=True, slots=True)
class CostRow:
    """Spending of one run on one teacher in one stage. Settled calls carry tokens; nothing else does."""

    run_id: str
    teacher: str
    stage: str
    num_calls: int
    num_uncertain: int
    num_hits: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    spent_nano_usd: int
    held_nano_usd: int
    saved_nano_usd: int

    def as_dict(self) -> dict[str, object]:
        """JSON form."""
        return asdict(self)
