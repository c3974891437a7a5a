"""Prices inside the ledger: kept with the calls that used them, so that history can be checked and never changes.

In: a price as it is today. Out: an id for the call's row, and the same rates whenever they are asked for again.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from datetime import date
from decimal import Decimal

from opd.pricing import PricedModel, Rates


def keep_price(db: sqlite3.Connection, model: PricedModel) -> str:
    """Store a price once and return its id; the id ends in a digest of the rates, so history is never repriced."""
    tiers = {
        name: [
            [rates.above_input_tokens, *(str(getattr(rates, kind)) for kind in Rates.__slots__[1:])] for rates in tiers
        ]
        for name, tiers in (("tiers", model.tiers), ("batch_tiers", model.batch_tiers))
    }
    text = json.dumps({**tiers, "per_request_usd": str(model.per_request_usd)}, sort_keys=True)
    price_id = f"{model.price_id} #{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    db.execute("INSERT OR IGNORE INTO prices VALUES (?, ?)", (price_id, text))
    return price_id


def price_of(db: sqlite3.Connection, price_id: str) -> PricedModel:
    """The rates a call was reserved at."""
    (text,) = db.execute("SELECT rates FROM prices WHERE id = ?", (price_id,)).fetchone()
    return price_from_json(price_id, text)


def price_from_json(price_id: str, text: str) -> PricedModel:
    """A stored price, good for arithmetic only."""
    stored = json.loads(text)
    tiers, batch_tiers = (
        tuple(Rates(above, *map(Decimal, rates)) for above, *rates in stored[name]) for name in ("tiers", "batch_tiers")
    )
    return PricedModel(
        provider="",
        model="",
        name="",
        price_id=price_id,
        price_date=date.min,
        source="typed",
        tiers=tiers,
        batch_tiers=batch_tiers,
        per_request_usd=Decimal(stored["per_request_usd"]),
    )
