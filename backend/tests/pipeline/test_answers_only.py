"""Whole runs with a teacher that only answers, behind real HTTP: what is asked, paid, kept, trained on and said."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from expert_provider import Expert, expert
from opd.config import RunConfig, parse_config
from opd.demo.bundled import student_dir
from opd.demo.task import held_out_prompts, parse_question, split_of, train_prompts, validation_prompts
from opd.events import RunSummary, StepLogged
from opd.pipeline.run import run_folder
from opd.store.money import Ledger, audit, costs
from opd.store.runs import RunFolder, RunStore
from opd.store.written import marked_drafts, num_refreshes, strike, written_prompts
from run_processes import RunProcess

NUM_TRAIN, STEPS, REFRESH, DRAFTS = 20, 6, 2, 5


@pytest.fixture
def teacher() -> Iterator[Expert]:
    with expert() as found:
        yield found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rows = {"train": train_prompts(NUM_TRAIN), "held_out": held_out_prompts(8), "validation": validation_prompts(8)}
    for name, prompts in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
    return folder


def config(data: Path, teacher: Expert, objective: dict[str, Any], **changes: Any) -> RunConfig:
    settings: dict[str, Any] = {
        "student": {"model": str(student_dir()), "training": "full"},
        "teacher": {
            "type": "chat", "model": "local/expert", "base_url": f"{teacher.url}/v1", "reply_form": "lines",
            "input_usd_per_million": 1.0, "output_usd_per_million": 2.0,
        },
        "data": {
            "path": str(data / "train.jsonl"), "test_path": str(data / "held_out.jsonl"),
            "validation_path": str(data / "validation.jsonl"), "answer_match": "last_number",
        },
        "objective": objective,
        "max_steps": STEPS,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "sampling": {"max_completion_tokens": 40},
        "checkpoint": {"every_steps": 2},
        "evaluation": {"probe_every_steps": 3, "probe_prompts": 1},
        "num_threads": 1,
        "device": "cpu",
        "budget_usd": 1.0,
    }  # fmt: skip
    return parse_config(settings | changes)


MARK = {"type": "mark", "refresh_every": REFRESH, "drafts": DRAFTS}


def run_of(tmp_path: Path, settings: RunConfig) -> RunFolder:
    return RunStore(tmp_path).create(settings)


def done(run: RunFolder) -> RunSummary:
    assert run_folder(run) == 0, (run.path / "exit.json").read_text()
    return run.summary()


def weights(run: RunFolder) -> dict[str, Any]:
    return load_file(run.student_path / "model.safetensors")


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all((one[name] == other[name]).all() for name in one)


@pytest.mark.parametrize("form", ["lines", "json"])
def test_expansion_answers_warm_start_and_marking(form: str, tmp_path: Path, data: Path, teacher: Expert) -> None:
    settings = config(
        data, teacher, MARK, expansion={"num_prompts": 6}, on_policy_fraction=0.75,
        warm_start={"steps": 2, "learning_rates": [1e-4, 1e-3]},
    )  # fmt: skip
    settings = settings.model_copy(update={"teacher": settings.teacher.model_copy(update={"reply_form": form})})
    run = run_of(tmp_path, settings)
    summary = done(run)

    assert [stage.stage for stage in summary.stages] == ["expansion", "answers", "warm_start", "marking"]
    said = {stage.stage: stage for stage in summary.stages}
    assert said["expansion"].numbers["written"] == 6
    assert said["answers"].numbers["answers"] == NUM_TRAIN + 6
    marking = said["marking"]
    assert marking.numbers["refreshes"] == STEPS / REFRESH
    assert marking.numbers["drafts"] == STEPS / REFRESH * DRAFTS
    assert f"{int(marking.numbers['corrected']):,} " in marking.words
    assert marking.numbers["unreadable"] == 0
    assert "token" not in " ".join(stage.words for stage in summary.stages)
    assert summary.started is not None
    assert summary.started.signal == "answers only: not token-level"
    assert {"before", "sft", "after"} <= set(summary.evaluations)

    written = written_prompts(run.path)
    assert written is not None
    held_out = {row["messages"][0]["content"] for row in held_out_prompts(8)}
    for text in written["kept"]:
        asked = parse_question(text)
        assert asked is not None
        assert split_of(asked.operation, asked.left, asked.right) == "train"
        assert text not in held_out
    assert num_refreshes(run.path) == STEPS // REFRESH
    drafts = marked_drafts(run.path, 0)
    assert drafts is not None
    assert len(drafts["drafts"]) == DRAFTS

    with Ledger(tmp_path / "money.db") as ledger:
        assert audit(ledger) == []
        paid = {row.stage: row for row in costs(ledger, run_id=run.path.name)}
    recurring = paid["marking"].num_hits
    assert teacher.counts["mark"] + recurring == STEPS / REFRESH * DRAFTS
    assert sum(row.spent_nano_usd for row in paid.values()) == len(teacher.bodies) * 40_000
    assert summary.money is not None
    assert summary.money.spent_nano_usd == len(teacher.bodies) * 40_000


def test_a_second_run_on_the_same_prompts_pays_nothing_that_is_kept(
    tmp_path: Path, data: Path, teacher: Expert
) -> None:
    settings = config(data, teacher, MARK, expansion={"num_prompts": 6})
    first = run_of(tmp_path, settings)
    done(first)
    paid = len(teacher.bodies)
    second = run_of(tmp_path, settings)
    done(second)
    assert len(teacher.bodies) == paid
    assert same(weights(first), weights(second))


def test_one_time_stages_cost_nothing_a_step(tmp_path: Path, data: Path, teacher: Expert) -> None:
    for objective, steps in (({"type": "imitation"}, 3), ({"type": "imitation"}, 40)):
        done(run_of(tmp_path, config(data, teacher, objective, on_policy_fraction=0.0, max_steps=steps)))
    after_imitation = len(teacher.bodies)
    run = run_of(tmp_path, config(data, teacher, {"type": "contrast"}, on_policy_fraction=0.5, max_steps=5))
    summary = done(run)
    assert len(teacher.bodies) == after_imitation
    assert "written at that very step" in summary.stages[-1].words


def test_guided_learns_only_where_the_guide_helps(tmp_path: Path, data: Path, teacher: Expert) -> None:
    settings = config(data, teacher, {"type": "guided"})
    run = run_of(tmp_path, settings)
    summary = done(run)
    assert teacher.counts["guide"] == 1
    assert "the stage was left out" in summary.stages[-1].words  # the bundled student cannot read a guide
    assert summary.step == 0
    untouched = load_file(student_dir() / "model.safetensors")
    assert same(weights(run), untouched)


def test_replies_that_cannot_be_read_are_set_aside(tmp_path: Path, data: Path, teacher: Expert) -> None:
    teacher.spoil = lambda kind, reply: "ok" if kind == "mark" and teacher.counts[kind] % 2 else reply
    run = run_of(tmp_path, config(data, teacher, MARK))
    marking = done(run).stages[-1]
    assert 0 < marking.numbers["unreadable"] < marking.numbers["drafts"]
    kept = marked_drafts(run.path, 0)
    assert kept is not None
    problems = [draft["problem"] for draft in kept["drafts"] if draft["marks"] is None]
    assert all(problem["reason"] and problem["text"] == "ok" for problem in problems)


def test_steps_of_corrections_only_are_learnt_from(tmp_path: Path, data: Path, teacher: Expert) -> None:
    """Where no part of any draft stands, a window holds what should have stood there, and no completion."""
    teacher.spoil = lambda kind, reply: "\n".join(f"7{line}" for line in reply.split("\n")) if kind == "mark" else reply
    run = run_of(tmp_path, config(data, teacher, MARK, on_policy_fraction=1.0))
    assert done(run).step == STEPS
    with run.reader() as reader:
        steps = [stored.event for stored in reader.read_kind("step_logged", 100)]
    assert all(isinstance(event, StepLogged) and event.metrics["loss"] for event in steps)
    assert not any("completion_tokens/mean" in event.metrics for event in steps if isinstance(event, StepLogged))


def test_the_person_reads_and_strikes_written_prompts(tmp_path: Path, data: Path, teacher: Expert) -> None:
    settings = config(
        data, teacher, {"type": "imitation"}, on_policy_fraction=0.0, max_steps=1,
        expansion={"num_prompts": 6, "review": True},
    )  # fmt: skip
    run = run_of(tmp_path, settings)
    assert run_folder(run) == 1
    assert run.summary().finished is not None
    assert run.summary().finished.outcome == "paused"
    assert teacher.counts["answer"] <= 3  # only the live samples' prompts
    strike(run.path, [0, 4])
    with pytest.raises(ValueError, match="6 written prompts"):
        strike(run.path, [6])
    said = {stage.stage: stage for stage in done(run).stages}
    assert said["expansion"].numbers["written"] == 4
    assert "you struck 2" in said["expansion"].words
    assert said["answers"].numbers["answers"] == NUM_TRAIN + 4


def test_a_killed_run_pays_nothing_twice_and_gives_the_same_bits(tmp_path: Path, data: Path, teacher: Expert) -> None:
    settings = config(data, teacher, MARK, expansion={"num_prompts": 6}, warm_start={"steps": 1})
    whole = run_of(tmp_path / "whole", settings)
    done(whole)
    num_whole = len(teacher.bodies)
    run = run_of(tmp_path / "killed", settings)
    assert RunProcess(run, fault_at="durable", occurrence=2).wait() == -signal.SIGKILL
    done(run)
    assert same(weights(whole), weights(run))
    assert len(teacher.bodies) == 2 * num_whole
