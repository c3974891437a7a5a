"""A run with a paid teacher: paused at its cap, resumed above it, killed in mid-flight; no call is paid twice."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_provider import BundledBrain, CountingBrain, FakeProvider, Spoken
from fake_provider.expert import ExpertBrain
from opd.config import RunConfig, parse_config
from opd.demo.bundled import student_dir
from opd.demo.task import held_out_prompts, train_prompts
from opd.events import MoneySpent
from opd.pipeline.run import run_folder
from opd.pricing import NANO_PER_USD
from opd.store.money import Ledger, audit, costs
from opd.store.money.budget import set_budget
from opd.store.runs import RunFolder, RunStore
from run_processes import RunProcess

NUM_TRAIN, NUM_SAMPLES, CONCURRENCY, CAP_USD = 80, 2, 16, 0.05
KEY = "sk-canary-1f0e9d8c7b6a"


@pytest.fixture(scope="module")
def brain() -> Iterator[BundledBrain]:
    brain = BundledBrain()
    yield brain
    brain.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, rows in {"train": train_prompts(NUM_TRAIN), "held_out": held_out_prompts(4)}.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def config(data: Path, url: str, **changes: Any) -> RunConfig:
    settings: dict[str, Any] = {
        "student": {"model": str(student_dir()), "training": "full"},
        "teacher": {
            "type": "chat", "model": "local/tiny", "base_url": f"{url}/v1", "max_concurrency": CONCURRENCY,
            "input_usd_per_million": 1.0, "output_usd_per_million": 10.0,
        },
        "data": {"path": str(data / "train.jsonl"), "test_path": str(data / "held_out.jsonl")},
        "objective": {"type": "imitation"},
        "on_policy_fraction": 0.0,
        "answers": {"per_prompt": NUM_SAMPLES},
        "max_steps": 2,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "sampling": {"max_completion_tokens": 40},
        "evaluation": {"enabled": False, "probe_prompts": 0},
        "num_threads": 1,
        "device": "cpu",
        "budget_usd": CAP_USD,
    }  # fmt: skip
    return parse_config(settings | changes)


def money_events(run: RunFolder) -> list[MoneySpent]:
    with run.reader() as reader:
        return [s.event for s in reader.read_kind("money_spent", 1000) if isinstance(s.event, MoneySpent)]


def test_paused_at_the_cap_and_resumed_above_it(data: Path, brain: BundledBrain) -> None:
    with FakeProvider(brain, key=KEY) as provider:
        settings = config(data, provider.url, answers={"per_prompt": 4})
        run = RunStore(data).create(settings)
        keys = {"local": KEY}
        assert run_folder(run, keys=keys) == 1
        finished = run.summary().finished
        assert finished is not None
        assert finished.error is not None
        assert (run.state(), finished.outcome, finished.error.code) == ("paused", "paused", "budget_reached")
        invoice = provider.invoice.nano_usd
        assert 0.8 * CAP_USD * NANO_PER_USD < invoice <= CAP_USD * NANO_PER_USD
        last = money_events(run)[-1]
        assert (last.spent_nano_usd, last.held_nano_usd, last.cap_nano_usd) == (invoice, 0, CAP_USD * NANO_PER_USD)
        with Ledger(data / "money.db") as ledger:
            assert sum(row.spent_nano_usd for row in costs(ledger, run_id=run.run_id)) == invoice

        set_budget(data, run.run_id, settings, 1.0)
        assert run_folder(run, keys=keys) == 0, (run.path / "exit.json").read_text()
        assert run.state() == "done"
        assert len(provider.seen) == NUM_TRAIN * 4, "no paid call is repeated"
        assert money_events(run)[-1].spent_nano_usd == provider.invoice.nano_usd
        assert money_events(run)[-1].saved_by_cache_nano_usd >= invoice
        with Ledger(data / "money.db") as ledger:
            assert audit(ledger) == []
    assert not [path for path in data.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def test_a_pause_at_the_cap_loses_no_step_and_changes_nothing(data: Path) -> None:
    marking: dict[str, Any] = {
        "objective": {"type": "mark", "drafts": 8, "refresh_every": 2}, "on_policy_fraction": 1.0,
        "answers": {"per_prompt": 1}, "max_steps": 6, "batch_size": 4,
    }  # fmt: skip

    def settings_for(provider: FakeProvider, cap_usd: float) -> RunConfig:
        found = config(data, provider.url, **marking, budget_usd=cap_usd)
        # a long reply, which is what is held for each call, costs little beside what is sent
        teacher = found.teacher.model_copy(update={"output_usd_per_million": 0.1})
        return found.model_copy(update={"teacher": teacher})

    with FakeProvider(ExpertBrain()) as provider:
        whole = RunStore(data / "whole").create(settings_for(provider, 1.0))
        assert run_folder(whole) == 0, (whole.path / "exit.json").read_text()
        with Ledger(data / "whole" / "money.db") as ledger:
            cap = 0.8 * sum(row.spent_nano_usd for row in costs(ledger)) / NANO_PER_USD
    with FakeProvider(ExpertBrain()) as provider:
        settings = settings_for(provider, cap)
        capped = RunStore(data / "capped").create(settings)
        assert run_folder(capped) == 1
        paused = capped.summary()
        assert paused.finished is not None
        assert paused.finished.error is not None
        assert (paused.finished.error.code, paused.checkpoint_step) == ("budget_reached", paused.step)
        assert 0 < paused.step < 6
        set_budget(data / "capped", capped.run_id, settings, 1.0)
        assert run_folder(capped) == 0, (capped.path / "exit.json").read_text()
    files = [run.path / "student" / "model.safetensors" for run in (whole, capped)]
    assert files[0].read_bytes() == files[1].read_bytes()


class SlowAfter(CountingBrain):
    """Keeps its answers back from a number on, until `may_answer` is set."""

    def __init__(self, number: int):
        super().__init__()
        self._left, self.may_answer = number, threading.Event()

    async def speak(self, messages: list[dict[str, Any]], most: int, temperature: float, seed: int) -> Spoken:
        self._left -= 1
        if self._left < 0:
            await asyncio.to_thread(self.may_answer.wait)
        return await super().speak(messages, most, temperature, seed)


def test_killed_in_mid_flight_it_asks_again_only_what_was_under_way(data: Path) -> None:
    brain, num_answered = SlowAfter(30), 30
    with FakeProvider(brain) as provider:
        run = RunStore(data).create(config(data, provider.url, budget_usd=1.0))
        process = RunProcess(run)
        while len(provider.seen) < num_answered + CONCURRENCY and process.is_alive():
            threading.Event().wait(0.02)
        assert process.is_alive(), run.log_path.read_text()
        process.send(signal.SIGKILL)
        process.wait()
        brain.may_answer.set()
        assert run_folder(run) == 0, (run.path / "exit.json").read_text()
        last = money_events(run)[-1]
        num_lost = len(provider.seen) - NUM_TRAIN * NUM_SAMPLES
        assert 0 < num_lost <= CONCURRENCY
        assert provider.invoice.nano_usd <= last.spent_nano_usd + last.held_nano_usd
        assert last.possibly_paid_nano_usd == last.held_nano_usd > 0
        with Ledger(data / "money.db") as ledger:
            (row,) = costs(ledger, run_id=run.run_id)
            assert (row.num_calls, row.num_uncertain) == (NUM_TRAIN * NUM_SAMPLES, num_lost)
            assert audit(ledger) == []


def test_without_a_price_the_run_is_capped_by_tokens(data: Path) -> None:
    with FakeProvider(CountingBrain()) as provider:
        settings = config(data, provider.url, budget_usd=None, budget_tokens=1_000)
        run = RunStore(data).create(settings)
        assert run_folder(run) == 1
        last = money_events(run)[-1]
        num_tokens = sum(line[1] + line[2] for line in provider.invoice.lines)
        assert (run.state(), last.unit, last.spent_nano_usd) == ("paused", "tokens", num_tokens)
        assert 0 < num_tokens <= 1_000
        finished = run.summary().finished
        assert finished is not None
        assert finished.error is not None
        assert f"{num_tokens:,} of 1,000 tokens spent" in finished.error.message
