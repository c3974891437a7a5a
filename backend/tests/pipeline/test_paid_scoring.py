"""Whole runs with a scoring server that charges: the same ledger, the same cap, the same promises as a chat's."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from fake_servers import MODEL, Brain, fake_server
from loopback import serving
from opd.config import RunConfig, parse_config
from opd.errors import NotWaitedForError
from opd.events import MoneySpent
from opd.pipeline.run import run_folder
from opd.pricing import Usage, price, typed_price
from opd.store.money import Ledger, audit, costs
from opd.store.money.budget import set_budget
from opd.store.runs import RunFolder, RunStore
from opd.teachers import http
from opd.teachers.chat import Purse
from opd.teachers.paid_client import PaidClient
from opd.teachers.probe import probe
from tokenizers_in_tests import byte_level, model_for

PRICE = typed_price("fireworks/tiny", 1, 2)
CAP_USD = 0.0004


@pytest.fixture(scope="module")
def brain(tmp_path_factory: pytest.TempPathFactory) -> Brain:
    tokenizer = byte_level("three_digits", 500, 1)
    return Brain(model_for(tokenizer, seed=2), tokenizer)


@pytest.fixture
def folder(tmp_path: Path, brain: Brain) -> Path:
    model_for(brain.tokenizer, seed=1).save_pretrained(tmp_path / "student")
    brain.tokenizer.save_pretrained(tmp_path / "student")
    prompts = [{"messages": [{"role": "user", "content": f"What is {n} + {n}?"}]} for n in range(8)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
    return tmp_path


@contextmanager
def provider(brain: Brain, spoil: Any = None) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that writes an invoice: the usage of each reply, as it was sent. `spoil` changes a reply's account."""
    invoice: list[dict[str, Any]] = []
    app = fake_server("fireworks", brain)

    @app.middleware("http")
    async def charge(request: Request, go_on: Any) -> Any:
        response = await go_on(request)
        if request.method != "POST" or response.status_code != 200:
            return response
        body = json.loads(b"".join([part async for part in response.body_iterator]))
        if spoil is not None:
            spoil(body)
        invoice.append(body.get("usage"))
        return JSONResponse(body)

    with serving(app) as url:
        yield url, invoice


def config(folder: Path, url: str, **changes: Any) -> RunConfig:
    settings: dict[str, Any] = {
        "student": {"model": str(folder / "student")},
        "teacher": {
            "type": "server", "dialect": "fireworks", "base_url": f"{url}/v1", "model": MODEL, "max_concurrency": 4,
            "input_usd_per_million": 1, "output_usd_per_million": 2,
        },
        "objective": {"type": "topk_reverse_kl", "top_k": 5},
        "data": {"path": str(folder / "prompts.jsonl"), "test_fraction": 0.25},
        "max_steps": 3,
        "batch_size": 4,
        "sampling": {"max_completion_tokens": 8},
        "evaluation": {"probe_prompts": 0},
        "num_threads": 1,
        "device": "cpu",
        "budget_usd": 1.0,
    }  # fmt: skip
    return parse_config(settings | changes)


def billed(invoice: list[dict[str, Any]]) -> int:
    return sum(price(Usage(row["prompt_tokens"], 0, row["completion_tokens"]), PRICE) for row in invoice)


def failure_of(run: RunFolder) -> str:
    found = run.failure()
    assert found is not None
    return found.code


def test_the_cap_holds_and_a_resumed_run_pays_for_no_row_twice(folder: Path, brain: Brain) -> None:
    with provider(brain) as (url, invoice):
        run = RunStore(folder / "data").create(config(folder, url, budget_usd=CAP_USD))
        assert run_folder(run) == 1
        assert run.state() == "paused"
        assert failure_of(run) == "budget_reached"
        assert 0 < billed(invoice) <= CAP_USD * 1e9
        set_budget(folder / "data", run.run_id, run.config(), 1.0)
        assert run_folder(run) == 0
        asked = [json.dumps(body, sort_keys=True) for body in brain.asked]
        assert len(asked) == len(set(asked)) == len(invoice), "no row was sent twice"
    with Ledger(folder / "data" / "money.db") as ledger:
        assert audit(ledger) == []
        rows, meter = costs(ledger), ledger.run_meter(run.run_id)
    assert {row.stage for row in rows} == {"scoring"}
    assert meter.spent_nano_usd == sum(row.spent_nano_usd for row in rows) == billed(invoice)
    with run.reader() as reader:
        told = [s.event for s in reader.read_kind("money_spent", 1000) if isinstance(s.event, MoneySpent)]
    last = told[-1]
    assert (last.spent_nano_usd, last.held_nano_usd) == (billed(invoice), 0)
    assert all(event.projected_nano_usd is not None for event in told)
    assert all((event.projected_nano_usd or 0) >= event.spent_nano_usd for event in told)


def _missing(body: dict[str, Any]) -> None:
    del body["usage"]


def _negative(body: dict[str, Any]) -> None:
    body["usage"]["prompt_tokens"] = -5


def _absurd(body: dict[str, Any]) -> None:
    body["usage"]["prompt_tokens"] *= 1000


def _dear(body: dict[str, Any]) -> None:
    body["usage"]["prompt_tokens"] += 200


def _other_model(body: dict[str, Any]) -> None:
    body["model"] = "somebody-else"


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (_other_model, "teacher_other_model"),
        (_missing, "teacher_usage_unclear"),
        (_negative, "teacher_usage_unclear"),
        (_absurd, "teacher_usage_unclear"),
        (_dear, "teacher_overcharged"),
    ],
)
def test_an_account_that_cannot_be_believed_ends_the_run_and_never_counts_as_nothing(
    folder: Path, brain: Brain, spoil: Any, code: str
) -> None:
    with provider(brain, spoil) as (url, invoice):
        run = RunStore(folder / "data").create(config(folder, url))
        assert run_folder(run) != 0
    assert failure_of(run) == code
    assert run.summary().step == 0
    with Ledger(folder / "data" / "money.db") as ledger:
        assert audit(ledger) == []
        meter = ledger.run_meter(run.run_id)
    assert meter.num_paid == len(invoice) > 0
    assert meter.spent_nano_usd > 0
    assert meter.held_nano_usd == 0


def test_without_a_cap_or_a_price_nothing_is_sent(folder: Path, brain: Brain) -> None:
    num_before = len(brain.asked)
    with provider(brain) as (url, _):
        run = RunStore(folder / "data").create(config(folder, url, budget_usd=None))
        assert run_folder(run) == 1
        assert failure_of(run) == "budget_reached"
        report = probe(config(folder, url))
        assert [row.code for row in report.rows if row.id == "price"] == ["paid"]
        report = probe(config(folder, url, budget_usd=None))
        assert [row.code for row in report.rows if row.id == "price"] == ["no_cap"]
    assert len(brain.asked) == num_before


def test_a_request_that_is_not_waited_for_may_be_billed_and_counts_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_GRACE_S", 0.0)
    monkeypatch.setattr(http, "_TICK_S", 0.01)
    silent, asked = FastAPI(), threading.Event()
    done = threading.Event()

    @silent.post("/v1/completions")
    def never() -> dict[str, str]:
        asked.set()
        done.wait(30)
        return {}

    with serving(silent) as url, Ledger(tmp_path / "money.db") as ledger:
        ledger.set_run_cap("r", 10**9)
        client = http.HttpClient(f"{url}/v1", policy=http.Policy(retry_unclear=False), should_stop=asked.is_set)
        paid = PaidClient(client, PRICE, Purse(ledger, "r"), name="t", most=1)
        with pytest.raises(NotWaitedForError):
            paid.post("/completions", {"prompt": [1, 2, 3], "max_tokens": 1})
        done.set()
        meter = ledger.run_meter("r")
        assert meter.num_uncertain == 1
        assert meter.possibly_paid_nano_usd == meter.held_nano_usd > 0
        paid.close()
