"""Estimates against bills: whole runs against a provider that counts tokens by its own measure."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from fake_provider import FakeProvider
from fake_provider.expert import ExpertBrain
from opd.config import RunConfig, parse_config
from opd.demo.bundled import student_dir
from opd.demo.task import held_out_prompts, train_prompts
from opd.estimate import Estimate, estimate
from opd.estimate.asking import ask_three
from opd.machine import Device
from opd.pipeline.run import run_folder
from opd.store.money import Ledger, audit, costs
from opd.store.runs import RunStore

CPU = Device(kind="cpu", name="test", memory_total_bytes=2**34, memory_available_bytes=2**34)
IMITATION = {"objective": {"type": "imitation"}, "on_policy_fraction": 0.0}
MARK = {"objective": {"type": "mark", "refresh_every": 1, "drafts": 8}}
# (settings, form of structured replies, how wordy the teacher is, prompts)
RUNS: dict[str, tuple[dict[str, Any], str, int, int]] = {
    "answers": (IMITATION, "json", 1, 20),
    "wordy answers": (IMITATION, "json", 4, 20),
    "two answers a prompt": (IMITATION | {"answers": {"per_prompt": 2}}, "json", 1, 16),
    "expansion": (IMITATION | {"expansion": {"num_prompts": 20}}, "json", 1, 16),
    "expansion in lines": (IMITATION | {"expansion": {"num_prompts": 12}}, "lines", 1, 16),
    "marking in lines": (MARK, "lines", 1, 16),
    "marking": (MARK, "json", 1, 16),
    "expansion and marking": (MARK | {"expansion": {"num_prompts": 10}}, "json", 1, 16),
    "contrast": ({"objective": {"type": "contrast"}, "on_policy_fraction": 0.5}, "json", 2, 24),
    "guided": ({"objective": {"type": "guided"}}, "json", 1, 16),
}


@pytest.fixture(scope="module")
def bills(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Estimate, float]]:
    """Each run's estimate before it began, and what the provider charged for it."""
    found = {}
    for name, (changes, form, wordiness, num) in RUNS.items():
        folder = tmp_path_factory.mktemp("run")
        with FakeProvider(ExpertBrain(wordiness)) as provider:
            found[name] = _bill(folder, provider, _config(folder, provider.url, num, changes, form))
    return found


def _config(folder: Path, url: str, num: int, changes: dict[str, Any], form: str) -> RunConfig:
    for name, prompts in (("train", train_prompts(num)), ("test", held_out_prompts(2))):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
    return parse_config(
        {
            "student": {"model": str(student_dir()), "training": "full"},
            "teacher": {
                "type": "chat", "model": "local/tiny", "base_url": f"{url}/v1", "reply_form": form,
                "input_usd_per_million": 1, "output_usd_per_million": 10,
            },
            "data": {"path": str(folder / "train.jsonl"), "test_path": str(folder / "test.jsonl")},
            "max_steps": 2,
            "batch_size": 2,
            "sampling": {"max_completion_tokens": 300},
            "evaluation": {"enabled": False, "probe_prompts": 2},
            "num_threads": 1,
            "device": "cpu",
            "budget_usd": 5.0,
        }
        | changes
    )  # fmt: skip


def _bill(folder: Path, provider: FakeProvider, config: RunConfig) -> tuple[Estimate, float]:
    store = RunStore(folder / "data")
    ledger = store.root / "money.db"
    ask_three(config, ledger=ledger, key_of=lambda provider: None)
    asked = provider.invoice.nano_usd
    expected = estimate(config, store=store, device=CPU)
    run = store.create(config)
    assert run_folder(run) == 0, (run.path / "exit.json").read_text()
    with Ledger(ledger) as book:
        assert audit(book) == []
        rows = costs(book, run_id=run.run_id)
        assert sum(row.num_hits for row in rows) >= 3, "what the estimate asked is not paid again"
        assert sum(row.spent_nano_usd for row in costs(book)) == provider.invoice.nano_usd
    charged = provider.invoice.nano_usd - asked
    assert sum(row.spent_nano_usd for row in rows) == charged
    planned = {stage.stage for stage in expected.stages}
    assert planned == {row.stage for row in rows if row.num_calls}, "every stage that is paid was foreseen"
    return expected, charged / 1e9


def test_the_bill_is_in_the_range_and_near_what_was_likely(bills: dict[str, tuple[Estimate, float]]) -> None:
    missed, errors = [], []
    for name, (found, paid) in bills.items():
        assert found.low_usd is not None
        assert found.likely_usd is not None
        assert found.high_usd is not None
        print(f"{name:22} paid {paid:.5f}: {found.low_usd:.5f} – {found.likely_usd:.5f} – {found.high_usd:.5f}")
        if not found.low_usd <= paid <= found.high_usd:
            missed.append(name)
        errors.append(abs(found.likely_usd / paid - 1))
    print(f"median error {statistics.median(errors):.1%}, largest {max(errors):.1%}, outside the range: {missed}")
    assert len(bills) >= 10
    assert len(missed) <= len(bills) // 10
    assert statistics.median(errors) <= 0.3
