"""Spending by run, teacher and stage, for `opd costs` and the Costs page.

In: a ledger. Out: rows of exact amounts, and CSV. The sums equal the budgets' and, for settled calls, the invoice.
"""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from opd.pricing import usd
from opd.store.money.ledger import Ledger
from opd.store.money.records import CostRow

_SUMS = """
WITH calls_by AS (
    SELECT run_id, teacher, stage, count(*) FILTER (WHERE state IN ('SETTLED', 'WRITTEN_OFF')) AS num_calls,
        count(*) FILTER (WHERE state = 'UNCERTAIN') AS num_uncertain, 0 AS num_hits,
        coalesce(sum(input_tokens), 0) AS input_tokens, coalesce(sum(cached_input_tokens), 0) AS cached_input_tokens,
        coalesce(sum(output_tokens), 0) AS output_tokens, coalesce(sum(reasoning_tokens), 0) AS reasoning_tokens,
        sum(spent) AS spent, sum(held) AS held, 0 AS saved
    FROM calls WHERE month = coalesce(:month, month) GROUP BY run_id, teacher, stage),
hits_by AS (
    SELECT run_id, teacher, stage, 0, 0, count(*), 0, 0, 0, 0, 0, 0, sum(saved)
    FROM journal WHERE kind = 'HIT' AND (:month IS NULL OR strftime('%Y-%m', time, 'unixepoch') = :month)
    GROUP BY run_id, teacher, stage)
SELECT run_id, teacher, stage, sum(num_calls), sum(num_uncertain), sum(num_hits), sum(input_tokens),
    sum(cached_input_tokens), sum(output_tokens), sum(reasoning_tokens), sum(spent), sum(held), sum(saved)
FROM (SELECT * FROM calls_by UNION ALL SELECT * FROM hits_by)
WHERE run_id = coalesce(:run_id, run_id)
GROUP BY run_id, teacher, stage ORDER BY run_id, teacher, stage
"""


def costs(ledger: Ledger, *, run_id: str | None = None, month: str | None = None) -> list[CostRow]:
    """Rows by run, teacher and stage.

    Args:
        run_id: only this run.
        month: only calls reserved and hits made in this month (`2026-11`, UTC).
    """

    def work(db: sqlite3.Connection) -> list[CostRow]:
        return [CostRow(*row) for row in db.execute(_SUMS, {"run_id": run_id, "month": month})]

    return ledger.database.read(work)


@dataclass(frozen=True, slots=True)
class StagePaid:
    """What a run has paid in one stage."""

    num_calls: int = 0
    spent_nano_usd: int = 0


def paid_by_stage(ledger: Ledger, run_id: str) -> dict[str, StagePaid]:
    """What a run has paid so far, by stage; reads that run's calls only."""

    def work(db: sqlite3.Connection) -> dict[str, StagePaid]:
        found = db.execute(
            "SELECT stage, count(*), sum(spent) FROM calls WHERE run_id = ? AND state IN ('SETTLED', 'WRITTEN_OFF') "
            "GROUP BY stage",
            (run_id,),
        )
        return {stage: StagePaid(num_calls, spent) for stage, num_calls, spent in found}

    return ledger.database.read(work)


def read_costs(path: Path, *, run_id: str | None = None, month: str | None = None) -> list[CostRow]:
    """Rows of the ledger in this file; none where there is no ledger, since looking makes none."""
    if not path.exists():
        return []
    with Ledger(path) as ledger:
        return costs(ledger, run_id=run_id, month=month)


def spent_usd(rows: Sequence[CostRow]) -> str:
    """Dollars of all rows together, exact."""
    return f"{usd(sum(row.spent_nano_usd for row in rows)):f}"


def costs_csv(rows: Sequence[CostRow]) -> str:
    """The rows as CSV with a header; amounts in dollars, exact."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [field.name for field in fields(CostRow)]
    writer.writerow([name.replace("_nano_usd", "_usd") for name in names])
    for row in rows:
        writer.writerow(
            [f"{usd(getattr(row, name)):f}" if name.endswith("_nano_usd") else getattr(row, name) for name in names]
        )
    return out.getvalue()
