"""Whole runs of tiny models: to the end, killed, stopped, resumed, refused. Real processes where processes matter."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from opd.config import RunConfig, parse_config
from opd.events import EvaluationFinished, RunFinished, SampleRecorded, StepLogged, StoredEvent, fold
from opd.pipeline.run import run_folder
from opd.store.runs import RunFolder, RunStore
from opd.training import checkpoint
from run_processes import RunProcess
from tiny import save_model

STEPS = 12


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "student", seed=0)
    save_model(folder / "teacher", seed=5)
    prompts = [
        {"messages": [{"role": "user", "content": f"{a}+{a}?"}, {"role": "assistant", "content": str(2 * a)}]}
        for a in range(10)
    ]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(p) + "\n" for p in prompts))
    return folder


def config(models: Path, **changes: Any) -> RunConfig:
    settings: dict[str, Any] = {
        "student": {"model": str(models / "student")},
        "teacher": {"type": "local", "model": str(models / "teacher")},
        "data": {"path": str(models / "prompts.jsonl"), "test_fraction": 0.3, "answer_match": "last_number"},
        "max_steps": STEPS,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "sampling": {"max_completion_tokens": 8},
        "checkpoint": {"every_steps": 3},
        "evaluation": {"probe_every_steps": 4, "probe_prompts": 1},
        "num_threads": 1,
        "device": "cpu",
    }
    return parse_config(settings | changes)


def events(run: RunFolder) -> list[StoredEvent]:
    reader = run.reader()
    try:
        return reader.read()
    finally:
        reader.close()


def losses(run: RunFolder) -> list[tuple[int, float | None]]:
    reader = run.reader()
    try:
        return [(b.last_step, b.mean) for b in reader.buckets(["loss"])["loss"]]
    finally:
        reader.close()


def weights(run: RunFolder) -> dict[str, Any]:
    return load_file(run.student_path / "model.safetensors")


def same_weights(one: RunFolder, other: RunFolder) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(bool((a[k] == b[k]).all()) for k in a)


@pytest.fixture(scope="module")
def whole(models: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """An uninterrupted run; in a process of its own, like the interrupted ones."""
    run = RunStore(tmp_path_factory.mktemp("whole")).create(mixed(models))
    assert RunProcess(run).wait() == 0
    return run


@pytest.fixture(scope="module")
def complete(models: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The same with a baseline, which a second process trains beside it."""
    run = RunStore(tmp_path_factory.mktemp("complete")).create(everything(models))
    assert RunProcess(run).wait() == 0
    return run


def mixed(models: Path, **changes: Any) -> RunConfig:
    return config(models, **{"lambda": 0.4}, warm_start={"steps": 3}, **changes)


def everything(models: Path) -> RunConfig:
    return mixed(models, baseline={"enabled": True, "learning_rates": [1e-4, 1e-3]})


def wait_for_step(run: RunFolder, step: int, process: RunProcess) -> None:
    while process.is_alive():
        if run.events_path.exists() and run.summary().step >= step:
            return
        time.sleep(0.01)
    pytest.fail(f"the run ended before step {step}: {process.log()}")


def test_a_run_reaches_its_verdict_and_leaves_a_model(complete: RunFolder) -> None:
    summary = complete.summary()
    assert complete.state() == "done"
    assert summary.verdict is not None
    assert set(summary.evaluations) == {"before", "sft", "after", "teacher"}
    assert [step for step, _ in losses(complete)] == list(range(1, STEPS + 1))
    stages = {e.event.stage for e in events(complete) if isinstance(e.event, StepLogged)}
    assert stages == {"warm_start", "distillation", "baseline"}
    authors = {e.event.author for e in events(complete) if isinstance(e.event, SampleRecorded)}
    assert authors == {"student", "teacher"}
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(complete.student_path)
    assert AutoTokenizer.from_pretrained(complete.student_path).chat_template
    for form in ("json", "html", "md"):
        assert (complete.path / f"report.{form}").stat().st_size > 500


@pytest.mark.parametrize("step", [4, 8, 11])
def test_a_killed_run_ends_with_the_same_bits(models: Path, whole: RunFolder, tmp_path: Path, step: int) -> None:
    """7 prompts and 4 rows a step: step 4 is in the third epoch already."""
    run = RunStore(tmp_path).create(mixed(models))
    process = RunProcess(run)
    wait_for_step(run, step, process)
    process.kill()
    assert run.state() == "interrupted"
    assert RunProcess(run).wait() == 0
    assert same_weights(run, whole)
    assert losses(run) == losses(whole)
    summary = run.summary()
    assert (summary.exactness, summary.num_resumes) == ("exact", 1)
    assert summary.verdict == whole.summary().verdict


def test_a_run_killed_beside_its_baseline_ends_with_the_same_bits(
    models: Path, complete: RunFolder, tmp_path: Path
) -> None:
    run = RunStore(tmp_path).create(everything(models))
    process = RunProcess(run)
    wait_for_step(run, 8, process)
    process.kill()
    assert RunProcess(run).wait() == 0
    assert same_weights(run, complete)
    assert run.summary().verdict == complete.summary().verdict


def test_sigterm_saves_and_a_resume_ends_with_the_same_bits(models: Path, whole: RunFolder, tmp_path: Path) -> None:
    run = RunStore(tmp_path).create(mixed(models))
    process = RunProcess(run)
    wait_for_step(run, 5, process)
    process.send(signal.SIGTERM)
    assert process.wait(60) == 130
    assert run.state() == "stopped"
    found, rejected = checkpoint.newest_verified(run.checkpoints_path)
    assert found is not None
    assert found.step == run.summary().step
    assert rejected == []
    assert run.student_path.is_dir(), "stopped and saved: there is a model to take away"
    assert RunProcess(run).wait() == 0
    assert same_weights(run, whole)


def test_a_damaged_checkpoint_is_passed_over_and_said(models: Path, whole: RunFolder, tmp_path: Path) -> None:
    run = RunStore(tmp_path).create(mixed(models))
    process = RunProcess(run)
    wait_for_step(run, 8, process)
    process.kill()
    newest, _ = checkpoint.newest_verified(run.checkpoints_path)
    assert newest is not None
    path = newest.path / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert RunProcess(run).wait() == 0
    (resumed,) = [e.event for e in events(run) if e.event.kind == "run_resumed"]
    assert resumed.step < newest.step
    assert newest.path.name in resumed.reason
    assert same_weights(run, whole)


def test_discard_keeps_the_earlier_checkpoint_only(models: Path, tmp_path: Path) -> None:
    run = RunStore(tmp_path).create(config(models, max_steps=10_000))
    process = RunProcess(run)
    wait_for_step(run, 7, process)
    run.request_stop("discard")
    assert process.wait(60) == 130
    found, _ = checkpoint.newest_verified(run.checkpoints_path)
    assert found is not None
    assert found.step % 3 == 0


def finished(run: RunFolder) -> RunFinished:
    event = events(run)[-1].event
    assert isinstance(event, RunFinished)
    return event


def test_a_model_that_does_not_exist_is_refused_and_named(models: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    run = RunStore(tmp_path).create(config(models, student={"model": "Qwen/Qwen3-7B"}))
    assert run_folder(run) == 2
    error = finished(run).error
    assert error is not None
    assert "Qwen/Qwen3-7B" in error.message
    assert "Qwen/Qwen3-8B" in error.hint


def test_a_context_that_is_too_short_is_refused(models: Path, tmp_path: Path) -> None:
    run = RunStore(tmp_path).create(config(models, sampling={"max_completion_tokens": 127}))
    assert run_folder(run) == 2
    error = finished(run).error
    assert error is not None
    assert error.code == "model_mismatch"
    assert "context of 128" in error.message


@pytest.mark.parametrize("objective", ["divergence", "gold"])
def test_another_vocabulary_is_read_as_text(models: Path, tmp_path: Path, objective: str) -> None:
    folder = save_model(tmp_path / "other")
    text = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(text.replace('"a": 4', '"§": 4'))
    settings = {"teacher": {"type": "local", "model": str(folder)}, "objective": {"type": objective}, "max_steps": 2}
    run = RunStore(tmp_path).create(config(models, **settings))
    assert run_folder(run) == 0
    summary = run.summary()
    assert summary.started is not None
    assert "across tokenizers" in summary.started.signal
    assert summary.latest["scored_share"] is not None
    assert [alarm.code for alarm in summary.alarms if alarm.step == 0] == ["gold_across_tokenizers"] * (
        objective == "gold"
    )


def test_no_chat_template_is_refused(models: Path, tmp_path: Path) -> None:
    folder = save_model(tmp_path / "other")
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    run = RunStore(tmp_path).create(config(models, student={"model": str(folder)}))
    assert run_folder(run) == 2
    assert "no chat template" in (finished(run).error or pytest.fail("no error")).message


def test_prompts_that_changed_are_noticed_on_resume(models: Path, tmp_path: Path) -> None:
    data = tmp_path / "prompts.jsonl"
    data.write_text((models / "prompts.jsonl").read_text())
    settings = {"path": str(data), "test_fraction": 0.3}
    run = RunStore(tmp_path).create(config(models, data=settings, max_steps=3, evaluation={"enabled": False}))
    assert run_folder(run, observe=lambda event: run.request_stop("save")) == 130
    data.write_text(data.read_text().replace("5+5?", "5+6?"))
    assert run_folder(run) == 2
    assert "have changed" in (finished(run).error or pytest.fail("no error")).message


def test_adapters_train_and_are_merged_into_a_plain_model(models: Path, tmp_path: Path) -> None:
    student = {"model": str(models / "student"), "training": "lora", "lora": {"rank": 4, "alpha": 8}}
    run = RunStore(tmp_path).create(config(models, student=student))
    assert run_folder(run) == 0
    before, after = load_file(models / "student" / "model.safetensors"), weights(run)
    assert before.keys() == after.keys()
    assert any(bool((before[k] != after[k]).any()) for k in before)


def test_gold_logs_the_same_metrics(models: Path, tmp_path: Path, whole: RunFolder) -> None:
    run = RunStore(tmp_path).create(config(models, objective={"type": "gold"}))
    assert run_folder(run) == 0
    ours = {k for k in whole.summary().latest if not k.startswith("time/")}
    assert ours == {k for k in run.summary().latest if not k.startswith("time/")}


def test_a_teacher_that_is_the_student_gains_nothing(models: Path, tmp_path: Path) -> None:
    teacher = {"type": "local", "model": str(models / "student")}
    run = RunStore(tmp_path).create(config(models, teacher=teacher))
    assert run_folder(run) == 0
    summary = run.summary()
    assert summary.verdict is not None
    assert summary.verdict.conclusion != "better"
    assert summary.latest["reverse_kl"] == pytest.approx(0, abs=1e-3)


def test_the_summary_is_the_fold_of_what_is_on_disk(whole: RunFolder) -> None:
    assert whole.summary() == fold(events(whole))
    measured = [e.event.subject for e in events(whole) if isinstance(e.event, EvaluationFinished)]
    assert len(measured) == len(set(measured)) == 3
