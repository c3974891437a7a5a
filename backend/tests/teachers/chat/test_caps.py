"""A cap holds with many calls under way, is used up to the last call that fits, and survives `kill -9`."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_provider import CountingBrain, FakeProvider, Spoken
from opd.config import ChatTeacher
from opd.errors import BudgetReachedError
from opd.pricing import NANO_PER_USD
from opd.store.money import Ledger, Meter, audit, costs
from opd.teachers.base import AnswerSampling
from opd.teachers.chat import Ask, ChatApi, Purse, price_of

NUM_ASKS, CONCURRENCY = 150, 16
CAP = 0.05
ROOT = Path(__file__).resolve().parents[4]


class WordyBrain(CountingBrain):
    """Writes 60 tokens; keeps some answers back until they may go.

    Args:
        from_number: the first answer that is kept back.
        until_under_way: let all go once so many are asked for; None: once `may_answer` is set.
    """

    def __init__(self, from_number: int = 10**9, until_under_way: int | None = None):
        super().__init__()
        self._number, self._from, self._until = 0, from_number, until_under_way
        self.may_answer = threading.Event()

    async def speak(self, messages: list[dict[str, Any]], most: int, temperature: float, seed: int) -> Spoken:
        self._number += 1
        if self._until is not None and self._number - self._from >= self._until:
            self.may_answer.set()
        if self._number > self._from:
            await asyncio.to_thread(self.may_answer.wait)
        said = await super().speak(messages, most, temperature, seed)
        return Spoken(said.text, "stop", said.input_tokens, 60)


def config(url: str) -> ChatTeacher:
    return ChatTeacher(
        model="local/tiny",
        base_url=f"{url}/v1",
        input_usd_per_million=1,
        output_usd_per_million=10,
        max_concurrency=CONCURRENCY,
    )


def questions() -> list[Ask]:
    sampling = AnswerSampling(max_tokens=100)
    return [Ask(({"role": "user", "content": f"question {number}"},), sampling) for number in range(NUM_ASKS)]


def ask_all(url: str, ledger: Ledger, seen: list[Meter] | None = None, cap: float = CAP) -> int:
    """Put all questions; the number of answers."""
    purse, teacher = Purse(ledger, "run-1"), config(url)
    purse.cap(usd=cap)
    watch = (lambda meter: None) if seen is None else seen.append
    with ChatApi.from_config(teacher, price_of(teacher), purse=purse, watch=watch) as chat:
        answers = chat.ask(questions(), stage="answers")
    assert all(answer.problem is None for answer in answers)
    return len(answers)


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with FakeProvider(WordyBrain(from_number=0, until_under_way=CONCURRENCY)) as provider:
        yield provider


def test_the_cap_holds_with_sixteen_under_way_and_raising_it_repeats_nothing(
    provider: FakeProvider, tmp_path: Path
) -> None:
    meters: list[Meter] = []
    with Ledger(tmp_path / "money.db") as ledger:
        with pytest.raises(BudgetReachedError):
            ask_all(provider.url, ledger, meters)
        invoice, num_paid = provider.invoice.nano_usd, len(provider.seen)
        assert provider.most_under_way == CONCURRENCY
        assert invoice <= CAP * NANO_PER_USD
        assert sum(row.spent_nano_usd for row in costs(ledger)) == meters[-1].spent_nano_usd == invoice
        assert meters[-1].held_nano_usd == 0, "what was under way was waited for"
        a_call = invoice // num_paid
        assert CAP * NANO_PER_USD - invoice < 3 * a_call, "money held by calls under way is no reason to pause"

        ledger.set_run_cap("run-1", NANO_PER_USD)
        assert ask_all(provider.url, ledger, meters) == NUM_ASKS
        assert len(provider.seen) == NUM_ASKS
        assert meters[-1].spent_nano_usd == provider.invoice.nano_usd
        assert meters[-1].saved_nano_usd == invoice
        assert audit(ledger) == []


def test_an_interrupted_ask_keeps_what_was_under_way(provider: FakeProvider, tmp_path: Path) -> None:
    def stop_soon(done: int, total: int | None) -> None:
        if done >= 20:
            raise KeyboardInterrupt

    with Ledger(tmp_path / "money.db") as ledger:
        purse, teacher = Purse(ledger, "run-1"), config(provider.url)
        purse.cap(usd=1)
        with ChatApi.from_config(teacher, price_of(teacher), purse=purse) as chat:
            with pytest.raises(KeyboardInterrupt):
                chat.ask(questions(), stage="answers", progress=stop_soon)
            assert purse.meter().spent_nano_usd == provider.invoice.nano_usd
            assert purse.meter().held_nano_usd == 0
            num_paid = len(provider.seen)
            assert num_paid < NUM_ASKS
            chat.ask(questions(), stage="answers")
        assert len(provider.seen) == NUM_ASKS


_ASKER = """
import sys
from pathlib import Path
from opd.store.money import Ledger
sys.path.insert(0, sys.argv[3])
from test_caps import ask_all
ask_all(sys.argv[1], Ledger(Path(sys.argv[2])), cap=1.0)
"""


def test_after_kill_9_only_what_was_under_way_is_asked_again(tmp_path: Path) -> None:
    brain, num_answered = WordyBrain(from_number=40), 40
    with FakeProvider(brain) as provider:
        path = tmp_path / "money.db"
        command = [sys.executable, "-c", _ASKER, provider.url, str(path), str(Path(__file__).parent)]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'backend'}:{ROOT / 'backend' / 'tests'}"}
        child = subprocess.Popen(command, env=environment)
        try:
            while len(provider.seen) < num_answered + CONCURRENCY and child.poll() is None:
                threading.Event().wait(0.02)
            assert child.poll() is None
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
        brain.may_answer.set()
        with Ledger(path) as ledger:
            under_way = ledger.recovered.num_uncertain
            assert 0 < under_way <= CONCURRENCY
            assert ask_all(provider.url, ledger, cap=1.0) == NUM_ASKS
            meter = Purse(ledger, "run-1").meter()
            assert len(provider.seen) == NUM_ASKS + under_way, "answers that had arrived are not asked for again"
            assert meter.num_uncertain == under_way
            assert provider.invoice.nano_usd <= meter.spent_nano_usd + meter.held_nano_usd
            assert meter.possibly_paid_nano_usd == meter.held_nano_usd > 0
            assert audit(ledger) == []
