"""A run whose answers only a judge can compare: asked blind and in both orders, paid once, told in the verdict."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from fake_provider import FakeProvider, Spoken
from opd.config import RunConfig, parse_config
from opd.demo.bundled import student_dir, teacher_dir
from opd.demo.task import held_out_prompts, train_prompts
from opd.errors import ConfigError
from opd.evaluation.report import render_report
from opd.evaluation.results import read_evaluation
from opd.pipeline.run import run_folder
from opd.pricing import NANO_PER_USD
from opd.store.files import read_json
from opd.store.money import Ledger, audit, costs
from opd.store.money.budget import set_budget
from opd.store.runs import RunFolder, RunStore
from run_processes import RunProcess

NUM_HELD_OUT, CONCURRENCY = 12, 4
CRITERIA = ("It ends with a number.", "It shows its work.")


class Judge:
    """Prefers the answer with more digits, and finds the first criterion met; answers freely until it is held back."""

    def __init__(self, free: int | None = None):
        self._left, self.may_answer = free, threading.Event()

    async def speak(self, messages: list[dict[str, Any]], most: int, temperature: float, seed: int) -> Spoken:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                await asyncio.to_thread(self.may_answer.wait)
        text = str(messages[-1]["content"])
        answers = re.findall(r"\[answer \d \w+\]\n(.*?)\n\[end of answer", text, re.DOTALL)
        if answers:
            first, second = (sum(c.isdigit() for c in answer) for answer in answers)
            said = f"Digits.\nVERDICT: {'TIE' if first == second else 1 if first > second else 2}"
        else:
            said = "CRITERION 1: MET\nCRITERION 2: NOT MET"
        return Spoken(said, "stop", len(text.split()), len(said.split()))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, rows in {"train": train_prompts(8), "held_out": held_out_prompts(NUM_HELD_OUT)}.items():
        lines = [json.dumps({"messages": row["messages"]}) + "\n" for row in rows]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    return tmp_path


def config(data: Path, url: str, *, judge: dict[str, Any] | None = None, **changes: Any) -> RunConfig:
    asked = {
        "model": "local/tiny", "base_url": f"{url}/v1", "max_concurrency": CONCURRENCY,
        "input_usd_per_million": 1.0, "output_usd_per_million": 10.0,
    }  # fmt: skip
    settings: dict[str, Any] = {
        "student": {"model": str(student_dir()), "training": "full"},
        "teacher": {"type": "local", "model": str(teacher_dir())},
        "data": {"path": str(data / "train.jsonl"), "test_path": str(data / "held_out.jsonl")},
        "max_steps": 3,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "sampling": {"max_completion_tokens": 40},
        "evaluation": {"probe_prompts": 0, "judge": asked | (judge or {})},
        "num_threads": 1,
        "device": "cpu",
        "budget_usd": 1.0,
    }
    return parse_config(settings | changes)


def num_pairs_that_differ(run: RunFolder) -> int:
    before, after = (read_evaluation(run.path, name) for name in ("before", "after"))
    assert before is not None
    assert after is not None
    return sum(a.text.strip() != b.text.strip() for a, b in zip(before.answers, after.answers, strict=True))


def test_a_judge_decides_by_criteria_too_and_is_paid_once(data: Path) -> None:
    with FakeProvider(Judge()) as provider:
        run = RunStore(data).create(config(data, provider.url, judge={"criteria": CRITERIA}))
        assert run_folder(run) == 0, (run.path / "exit.json").read_text()
        num_differ = num_pairs_that_differ(run)
        assert num_differ > 0, "the test needs a student that changed"
        num_pairs, num_by_criteria = run.config().evaluation.judge.num_questions(NUM_HELD_OUT, num_students=2)
        assert (num_pairs, num_by_criteria) == (2 * NUM_HELD_OUT, 2 * NUM_HELD_OUT)
        assert len(provider.seen) <= 2 * num_differ + num_by_criteria  # equal answers share a question
        verdict = run.summary().verdict
        assert verdict is not None
        assert verdict.conclusion != "not_measured"
        lines = {line.metric: line for line in verdict.lines}
        assert lines["judge_win_rate"].difference.num == NUM_HELD_OUT
        assert lines["rubric_score"].conclusion == "no_significant_change"
        assert any(note.startswith(f"local/tiny compared {NUM_HELD_OUT} pairs") for note in verdict.notes)
        assert not [seen for seen in provider.seen if re.search("student|teacher|candidate|baseline", str(seen.body))]
        money, num_asked = run.summary().money, len(provider.seen)
        assert money is not None
        assert money.spent_nano_usd == provider.invoice.nano_usd > 0
        with Ledger(data / "money.db") as ledger:
            (row,) = costs(ledger, run_id=run.run_id)
            assert (row.stage, row.spent_nano_usd) == ("judging", provider.invoice.nano_usd)
            assert audit(ledger) == []
        report = json.loads(render_report(run, "json"))
        assert report["costs"]["spent_usd"] == money.spent_nano_usd / NANO_PER_USD
        assert len(provider.seen) == num_asked, "a second report costs nothing"


def test_killed_among_its_questions_it_pays_for_none_twice(data: Path) -> None:
    brain = Judge(free=6)
    with FakeProvider(brain) as provider:
        run = RunStore(data).create(config(data, provider.url))
        process = RunProcess(run)
        while len(provider.seen) < 6 + CONCURRENCY and process.is_alive():
            threading.Event().wait(0.02)
        was_alive = process.is_alive()
        process.kill()
        brain.may_answer.set()
        assert was_alive, process.log()
        assert read_json(run.path / "stages" / "judged.json") is None
        assert run_folder(run) == 0, (run.path / "exit.json").read_text()
        asked = [json.dumps(seen.body, sort_keys=True) for seen in provider.seen]
        num_lost = len(asked) - len(set(asked))
        assert 0 < num_lost <= CONCURRENCY, "only what was under way when it died is asked again"
        with Ledger(data / "money.db") as ledger:
            (row,) = costs(ledger, run_id=run.run_id)
            assert (row.num_calls, row.num_uncertain) == (len(set(asked)), num_lost)
            assert audit(ledger) == []


def test_the_cap_pauses_before_the_verdict_and_a_higher_one_goes_on(data: Path) -> None:
    with FakeProvider(Judge()) as provider:
        settings = config(data, provider.url, budget_usd=0.015)
        run = RunStore(data).create(settings)
        assert run_folder(run) == 1
        failure = run.failure()
        assert failure is not None
        assert (run.state(), failure.code) == ("paused", "budget_reached")
        assert run.summary().verdict is None
        num_paid = len(provider.seen)
        assert num_paid > 0
        set_budget(data, run.run_id, settings, 1.0)
        assert run_folder(run) == 0
        asked = [json.dumps(seen.body, sort_keys=True) for seen in provider.seen]
        assert len(asked) == len(set(asked)) > num_paid, "no question is repeated"


def test_the_teacher_is_not_its_own_students_judge(data: Path) -> None:
    teacher = {"type": "chat", "model": "openai/gpt-4o-mini"}
    changes: dict[str, Any] = {"teacher": teacher, "objective": {"type": "mark"}}
    for name in ("openai/gpt-4o-mini", "openrouter/openai/GPT-4o-mini:free"):
        with pytest.raises(ConfigError, match="is the teacher itself"):
            config(data, "http://127.0.0.1:9", judge={"model": name}, **changes)
        asked = config(data, "http://127.0.0.1:9", judge={"model": name, "may_be_the_teacher": True}, **changes)
        assert asked.evaluation.judge.model == name


def test_settings_of_a_judge_that_is_not_asked_decide_nothing(data: Path) -> None:
    one, other = (config(data, "http://127.0.0.1:9", judge={"model": "", "max_prompts": n}) for n in (5, 6))
    assert one.digest() == other.digest()
    one, other = (config(data, "http://127.0.0.1:9", judge={"max_prompts": n}) for n in (5, 6))
    assert one.digest() != other.digest()
