"""Money that cannot be overspent: the ledger and the answer cache of all runs, in `money.db`.

In: calls to paid teachers before they are made, and what came of them. Out: permission or refusal, answers that were
paid before, exact figures. Promise: never above a cap, and never paid twice for an answer that was received; a call
whose fate is unknown counts in full until it is proven otherwise.
"""

from opd.store.money.audit import audit
from opd.store.money.bookings import this_month
from opd.store.money.costs import StagePaid, costs, costs_csv, paid_by_stage, read_costs, spent_usd
from opd.store.money.kept import KeptAnswer, kept_answers
from opd.store.money.ledger import Ledger
from opd.store.money.records import (
    CallRequest,
    CostRow,
    Hit,
    InFlight,
    LedgerError,
    Meter,
    Recovered,
    Reservation,
    Settled,
    State,
    request_key,
)

__all__ = [
    "CallRequest",
    "CostRow",
    "Hit",
    "InFlight",
    "KeptAnswer",
    "Ledger",
    "LedgerError",
    "Meter",
    "Recovered",
    "Reservation",
    "Settled",
    "StagePaid",
    "State",
    "audit",
    "costs",
    "costs_csv",
    "kept_answers",
    "paid_by_stage",
    "read_costs",
    "request_key",
    "spent_usd",
    "this_month",
]
