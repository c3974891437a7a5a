"""A run's cap over REST and on the command line: looked at, raised, and never below what may be owed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from opd.cli import run as opd
from opd.pricing import Usage, typed_price
from opd.store.money import CallRequest, Ledger, Reservation, request_key
from opd.store.runs import RunStore
from studio_in_tests import Client, config, open_studio

pytestmark = pytest.mark.usefixtures("light_runs")
PRICE = typed_price("local/tiny", 1, 10)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with open_studio(tmp_path) as client:
        yield client


def spend(data_dir: Path, run_id: str) -> None:
    """One paid call of $0.001 and one whose fate is unknown, at most $0.002."""
    with Ledger(data_dir / "money.db") as ledger:
        ledger.set_run_cap(run_id, 10_000_000)
        for number, output_tokens in enumerate((100, 200)):
            key = request_key({"question": number})
            call = ledger.claim(CallRequest(key, run_id, "answers", "local/tiny", PRICE, 0, output_tokens))
            assert isinstance(call, Reservation)
            ledger.sent(call.call_id)
            if number == 0:
                ledger.settle(call.call_id, Usage(output_tokens=100), b"{}")
            else:
                ledger.uncertain(call.call_id, "test")


def test_a_run_that_paid_nothing_has_its_configured_cap_and_no_ledger(client: Client, tmp_path: Path) -> None:
    run_id = client.run_of("steps=1", "request-1")
    found = client.get(f"/api/runs/{run_id}/budget").json()
    assert (found["unit"], found["cap"], found["spent"]) == ("usd", 0.0, 0.0)
    assert not (tmp_path / "money.db").exists()


def test_a_cap_is_raised_and_never_below_what_may_be_owed(client: Client, tmp_path: Path) -> None:
    run_id = client.run_of("steps=1", "request-1")
    spend(tmp_path, run_id)
    path = f"/api/runs/{run_id}/budget"
    found = client.get(path).json()
    assert [found[name] for name in ("cap", "spent", "held", "possibly_paid")] == [0.01, 0.001, 0.002, 0.002]
    raised = client.send_json("PUT", path, {"cap": 0.05})
    assert (raised.status_code, raised.json()["cap"], raised.json()["spent"]) == (200, 0.05, 0.001)
    refused = client.send_json("PUT", path, {"cap": 0.0029})
    assert refused.status_code == 400
    assert "spent and held" in refused.json()["error"]["message"]
    assert client.send_json("PUT", path, {"cap": 0}).status_code == 422
    assert client.get(path).json()["cap"] == 0.05


def test_resuming_may_raise_the_cap(client: Client, tmp_path: Path) -> None:
    run_id = client.run_of("steps=3 fail", "request-1", "failed")
    answer = client.send_json("POST", f"/api/runs/{run_id}/resume", {"cap": 2.5})
    assert answer.status_code == 200, answer.text
    assert client.get(f"/api/runs/{run_id}/budget").json()["cap"] == 2.5


def test_the_command_line_shows_and_sets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPD_DATA_DIR", str(tmp_path))
    run = RunStore(tmp_path).create(config(budget_tokens=5_000))
    assert opd(["runs", "budget", run.run_id]) == 0
    assert "5,000" in capsys.readouterr().out
    assert opd(["runs", "budget", run.run_id, "9000", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["unit"], found["cap"]) == ("tokens", 9000)
    assert opd(["runs", "budget", run.run_id, "0"]) == 2
