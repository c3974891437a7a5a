"""The ledger's bench on a few calls: it counts what it says, whatever the machine is doing."""

from __future__ import annotations

import pytest

from opd.bench.ledger import run_ledger_bench
from opd.errors import ConfigError


def test_every_call_is_made_twice_and_the_shares_belong_together() -> None:
    seen: list[tuple[int, int | None]] = []
    report = run_ledger_bench(calls=48, concurrency=4, answer_s=0.01, progress=lambda *at: seen.append(at))
    assert seen == [(40, 48), (48, 48)]
    best_s = 48 * 0.01 / 4
    assert report.busy_share == pytest.approx(best_s / report.booked_s)
    assert 0 < report.busy_share <= 1
    assert 0 < report.plain_busy_share <= 1
    assert report.bookkeeping_share == pytest.approx((report.booked_s - report.plain_s) / report.booked_s)
    assert "48 calls, 4 at once" in report.as_text()


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(ConfigError):
        run_ledger_bench(calls=0)
