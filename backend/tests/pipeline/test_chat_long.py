"""Teachers that only answer over a long run, and guided self-teaching to its end: tiny models behind real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from expert_provider import Expert, expert
from fake_provider import CountingBrain, FakeProvider
from opd.config import RunConfig, parse_config
from opd.pipeline.run import run_folder
from opd.store.money import Ledger, audit
from opd.store.runs import RunFolder, RunStore
from opd.store.written import num_refreshes
from tiny import save_model

NUM_TRAIN = 6


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "student", seed=3, max_position_embeddings=512)


@pytest.fixture
def teacher() -> Iterator[Expert]:
    with expert() as found:
        yield found


def config(folder: Path, student: Path, url: str, objective: dict[str, Any], **changes: Any) -> RunConfig:
    questions = [f"Cloud {34 + i}, Ads 57. Total?" for i in range(NUM_TRAIN + 2)]
    for name, texts in {"train": questions[:NUM_TRAIN], "held_out": questions[NUM_TRAIN:]}.items():
        rows = [{"messages": [{"role": "user", "content": text}]} for text in texts]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings: dict[str, Any] = {
        "student": {"model": str(student), "training": "full"},
        "teacher": {
            "type": "chat", "model": "local/tiny", "base_url": f"{url}/v1", "reply_form": "lines",
            "input_usd_per_million": 1.0, "output_usd_per_million": 10.0,
        },
        "data": {"path": str(folder / "train.jsonl"), "test_path": str(folder / "held_out.jsonl")},
        "objective": objective,
        "max_steps": 8,
        "batch_size": 2,
        "learning_rate": 1e-3,
        "sampling": {"max_completion_tokens": 32},
        "checkpoint": {"every_steps": 1000},
        "evaluation": {"enabled": False, "probe_prompts": 0},
        "num_threads": 1,
        "device": "cpu",
        "budget_usd": 1.0,
    }  # fmt: skip
    return parse_config(settings | changes)


def done(folder: Path, settings: RunConfig) -> RunFolder:
    run = RunStore(folder).create(settings)
    assert run_folder(run) == 0, (run.path / "exit.json").read_text()
    return run


def events(run: RunFolder, kind: str) -> list[Any]:
    with run.reader() as reader:
        return [stored.event for stored in reader.read_kind(kind, 2_000)]


@pytest.mark.torture
def test_a_thousand_steps_send_not_one_request_after_the_answers(tmp_path: Path, student: Path) -> None:
    with FakeProvider(CountingBrain()) as provider:
        contrast = {"type": "contrast"}
        settings = config(
            tmp_path, student, provider.url, contrast, max_steps=1_000, batch_size=1, learning_rate=1e-5,
            on_policy_fraction=0.5, sampling={"max_completion_tokens": 27},
        )  # fmt: skip
        run = done(tmp_path, settings)
        assert run.summary().step == 1_000
        assert len(provider.seen) == NUM_TRAIN
        assert len(provider.invoice.lines) == NUM_TRAIN
        done(tmp_path, settings.model_copy(update={"max_steps": 2, "seed": 1}))
        assert len(provider.seen) == NUM_TRAIN, "another run on the same prompts pays nothing"
    with Ledger(tmp_path / "money.db") as ledger:
        assert audit(ledger) == []


def test_marking_sends_refreshes_times_drafts_and_nothing_else(tmp_path: Path, student: Path, teacher: Expert) -> None:
    mark = {"type": "mark", "refresh_every": 3, "drafts": 5}
    settings = config(tmp_path, student, teacher.url, mark, learning_rate=1e-2, on_policy_fraction=0.5)
    run = done(tmp_path, settings)
    assert num_refreshes(run.path) == 3
    assert teacher.counts == {"answer": NUM_TRAIN, "mark": 3 * 5}
    done(tmp_path, settings)
    assert teacher.counts == {"answer": NUM_TRAIN, "mark": 3 * 5}


def test_guided_follows_its_guide_where_it_helps(tmp_path: Path, student: Path, teacher: Expert) -> None:
    settings = config(tmp_path, student, teacher.url, {"type": "guided"}, max_steps=30)
    run = done(tmp_path, settings)
    assert teacher.counts == {"answer": NUM_TRAIN, "guide": 1, "criteria": NUM_TRAIN}
    guide, guided = (next(s for s in run.summary().stages if s.stage == name) for name in ("guide", "guided"))
    assert guide.numbers["with_guide"] > guide.numbers["plain"]
    assert "30 steps" in guided.words
    losses = [event.metrics["loss"] for event in events(run, "step_logged")]
    assert len(losses) == 30
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_a_student_that_recites_the_guide_is_told_of(tmp_path: Path, student: Path, teacher: Expert) -> None:
    probing = {"enabled": False, "probe_prompts": 1, "probe_every_steps": 1}
    changes = {"evaluation": probing, "max_steps": 2, "learning_rate": 1e-9, "sampling": {"max_completion_tokens": 64}}
    settings = config(tmp_path, student, teacher.url, {"type": "guided"}, **changes)
    healthy = done(tmp_path, settings)
    assert events(healthy, "alarm_raised") == []
    said = next(event for event in events(healthy, "sample_recorded") if event.author == "student").text

    teacher.spoil = lambda kind, reply: json.dumps({"rules": [said]}) if kind == "guide" else reply
    other = settings.model_copy(update={"teacher": settings.teacher.model_copy(update={"model": "local/other"})})
    reciting = done(tmp_path, other)
    alarms = events(reciting, "alarm_raised")
    assert [(alarm.code, alarm.step) for alarm in alarms] == [("leakage", 1)]
