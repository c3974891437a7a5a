"""Costs over REST: the figures of `opd costs`, and the month's budget."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from opd.cli import run as opd_command
from opd.pricing import Usage, resolve_model
from opd.store.money import CallRequest, Hit, Ledger, Reservation, request_key
from studio_in_tests import Client, open_studio


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("OPD_DATA_DIR", str(tmp_path))
    with open_studio(tmp_path) as client:
        yield client


def pay(folder: Path, run_id: str, stage: str, number: int) -> None:
    price = resolve_model("openai/gpt-4o-mini")
    with Ledger(folder / "money.db") as ledger:
        ledger.set_run_cap(run_id, 10**9)
        call = CallRequest(request_key({"messages": [stage, number]}), run_id, stage, price.id, price, 1000, 1000)
        taken = ledger.reserve(call)
        if isinstance(taken, Hit):
            return
        assert isinstance(taken, Reservation)
        ledger.sent(taken.call_id)
        if number == 2:
            ledger.uncertain(taken.call_id, "no reply")
        else:
            ledger.settle(taken.call_id, Usage(input_tokens=1000, output_tokens=100), b"answer")


def test_costs_equal_the_command_line_and_looking_makes_no_ledger(
    client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert client.get("/api/costs").json() == {"rows": [], "spent_usd": "0.000000000"}
    assert client.get("/api/costs/month").json()["cap_nano_usd"] is None
    assert not (tmp_path / "money.db").exists()
    for number in range(3):
        pay(tmp_path, "run-a", "answers", number)
    pay(tmp_path, "run-b", "marking", 0)
    pay(tmp_path, "run-c", "answers", 0)  # kept from run-a
    for query, flags in (("", []), ("?month=1999-01", ["--month", "1999-01"])):
        capsys.readouterr()
        assert opd_command(["costs", "--json", *flags]) == 0
        assert client.get(f"/api/costs{query}").json() == json.loads(capsys.readouterr().out)
    found = client.get("/api/costs").json()["rows"]
    assert [(row["run_id"], row["num_calls"], row["num_uncertain"], row["num_hits"]) for row in found] == [
        ("run-a", 2, 1, 0),
        ("run-b", 1, 0, 0),
        ("run-c", 0, 0, 1),
    ]
    assert opd_command(["costs", "--csv"]) == 0
    assert client.get("/api/costs/csv").text == capsys.readouterr().out
    assert client.get("/api/costs?run_id=run-b").json()["rows"] == found[1:2]
    assert client.get("/api/costs?month=13-2026").status_code == 422


def test_the_month_has_a_budget_that_cannot_undercut_what_is_owed(client: Client, tmp_path: Path) -> None:
    pay(tmp_path, "run-a", "answers", 2)
    before = client.get("/api/costs/month").json()
    assert before["possibly_paid_nano_usd"] == before["held_nano_usd"] > 0
    refused = client.send_json("PUT", "/api/costs/month", {"cap_usd": 0})
    assert refused.status_code == 400
    assert "may owe" in refused.json()["error"]["message"]
    assert client.get("/api/costs/month").json() == before
    assert client.send_json("PUT", "/api/costs/month", {"cap_usd": 2.5}).json()["cap_nano_usd"] == 2_500_000_000
    assert client.get("/api/costs/month").json()["cap_nano_usd"] == 2_500_000_000
    assert client.send_json("PUT", "/api/costs/month", {"cap_usd": None}).json()["cap_nano_usd"] is None
    assert client.send_json("PUT", "/api/costs/month", {"cap_usd": -1}).status_code == 422
