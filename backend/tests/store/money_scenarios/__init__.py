"""Short stories about the ledger, each of which one guard must keep true.

A scenario takes the `money` package (the real one, or a mutant with a guard removed) and an empty folder.
`test_money.py` runs them all on the real package, and checks for each mutant that its scenario fails.
"""

from __future__ import annotations

from tests.store.money_scenarios import caps, figures, sharing, states
from tests.store.money_scenarios.telling import SCENARIOS, Scenario

__all__ = ["SCENARIOS", "Scenario", "caps", "figures", "sharing", "states"]
