"""Estimates: sizes from headers and names, memory that adds up, time that is measured where it can be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model_folders import write_model_folder
from opd.config import RunConfig
from opd.errors import DataError
from opd.estimate import estimate, estimate_scenarios, find_size
from opd.events import PhaseStarted, RunStarted, StepLogged
from opd.machine import Device
from opd.store.runs import RunStore
from studio_in_tests import PROMPTS, config

GIB = 2**30
CPU = Device(kind="cpu", name="test", memory_total_bytes=16 * GIB, memory_available_bytes=12 * GIB)
GPU = Device(kind="cuda", name="test", memory_total_bytes=80 * GIB, memory_available_bytes=78 * GIB)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    write_model_folder(tmp_path / "student", hidden=512, layers=4)
    write_model_folder(tmp_path / "teacher", hidden=1024, layers=8)
    return tmp_path


def run_config(models: Path, **changes: Any) -> RunConfig:
    return config(
        "",
        **{
            "student": {"model": str(models / "student")},
            "teacher": {"type": "local", "model": str(models / "teacher")},
            **changes,
        },
    )


def parts(config: RunConfig, models: Path, device: Device = CPU) -> dict[str, int]:
    memory = estimate(config, store=RunStore(models), device=device).memory
    assert memory is not None
    found = {part.name: part.num_bytes for part in memory.parts}
    assert sum(found.values()) == memory.total_bytes
    assert [part.num_bytes for part in memory.parts] == sorted(found.values(), reverse=True)
    assert memory.fits == (memory.total_bytes <= device.memory_available_bytes)
    return found


def test_size_from_headers(models: Path) -> None:
    size = find_size(str(models / "student"))
    assert size is not None
    assert size.num_parameters == 100 * 512 + 4 * 4 * 512 * 512
    assert (size.hidden_size, size.num_layers, size.vocab_size, size.exact) == (512, 4, 100, True)
    assert size.key_value_size == 2 * 2 * 128


@pytest.mark.parametrize(
    ("name", "num"),
    [("Qwen/Qwen3-0.6B", 600_000_000), ("a/b-135M-Instruct", 135_000_000), ("meta-llama/Llama-3.1-8B-Instruct", 8e9)],
)
def test_size_from_a_name(name: str, num: float) -> None:
    size = find_size(name)
    assert size is not None
    assert (size.num_parameters, size.exact) == (num, False)
    blocks = 12 * size.hidden_size**2 * size.num_layers
    assert 0.5 * num < blocks < 1.6 * num, "width and depth go with the count"


@pytest.mark.parametrize("name", ["nobody/mystery", "gpt", "a/b-v2", "broken"])
def test_no_size_is_made_up(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    assert find_size(name) is None
    found = estimate(config(student={"model": name}), store=RunStore(tmp_path), device=CPU)
    assert found.memory is None
    assert found.time is None
    assert any("size is not known" in line for line in found.assumptions)


def test_memory_of_full_training_is_what_adam_needs(models: Path) -> None:
    found = parts(run_config(models, student={"model": str(models / "student"), "training": "full"}), models)
    num = 100 * 512 + 4 * 4 * 512 * 512
    assert found["Student weights"] == 4 * num
    assert found["Gradients"] == 4 * num
    assert found["Optimizer (AdamW)"] == 8 * num
    assert found["Teacher weights"] == 4 * (100 * 1024 + 8 * 4 * 1024 * 1024)
    assert "Adapters" not in found


def test_adapters_save_memory_and_half_precision_halves_the_weights(models: Path) -> None:
    full = parts(run_config(models, student={"model": str(models / "student"), "training": "full"}), models)
    lora_config = run_config(models, student={"model": str(models / "student"), "training": "lora"})
    lora = parts(lora_config, models)
    assert lora["Optimizer (AdamW)"] < full["Optimizer (AdamW)"]
    assert parts(lora_config, models, GPU)["Teacher weights"] * 2 == lora["Teacher weights"]


def test_memory_grows_with_what_is_in_it_at_once(models: Path) -> None:
    base = parts(run_config(models, batch_size=16, micro_batch_size=4), models)
    wide = parts(run_config(models, batch_size=16, micro_batch_size=8), models)
    long = parts(
        run_config(models, batch_size=16, micro_batch_size=4, sampling={"max_completion_tokens": 1024}), models
    )
    assert wide["Activations"] == 2 * base["Activations"]
    assert wide["Key-value cache"] == base["Key-value cache"]
    assert long["Activations"] > base["Activations"]
    assert long["Key-value cache"] > base["Key-value cache"]


def test_what_does_not_fit_is_said(models: Path) -> None:
    small = CPU.model_copy(update={"memory_available_bytes": GIB // 4})
    memory = estimate(run_config(models), store=RunStore(models), device=small).memory
    assert memory is not None
    assert not memory.fits


def rough(config: RunConfig, models: Path, device: Device = CPU) -> float:
    found = estimate(config, store=RunStore(models / "empty"), device=device).time
    assert found is not None
    assert found.basis == "rough"
    assert 0 < found.low_s < found.likely_s < found.high_s
    return found.likely_s


def test_rough_time_grows_with_the_work_and_falls_with_the_device(models: Path) -> None:
    base = rough(run_config(models), models)
    assert rough(run_config(models, max_steps=400), models) > 1.8 * base
    assert rough(run_config(models, batch_size=32), models) > base
    assert rough(run_config(models, baseline={"enabled": True}), models) > base
    assert rough(run_config(models, evaluation={"enabled": False}), models) < base
    assert rough(run_config(models, on_policy_fraction=0.0), models) < base
    assert rough(run_config(models), models, GPU) < base


def test_time_is_measured_where_this_machine_has_done_it_before(models: Path) -> None:
    store = RunStore(models / "data")
    earlier = store.create(run_config(models, seed=3, max_steps=10))
    writer = earlier.writer()
    writer.append(
        RunStarted(name="", student="s", teacher="t", signal="", max_steps=10, num_prompts=1, num_test_prompts=1),
        PhaseStarted(phase="distilling"),
        *(StepLogged(step=step, metrics={"time/step_s": 2.0}) for step in range(1, 11)),
    )
    writer.close()
    assert estimate(run_config(models), store=store, device=CPU).time.basis == "rough", "not before it has ended"
    earlier.end("done", step=10)
    time = estimate(run_config(models, max_steps=100), store=store, device=CPU).time
    assert time is not None
    assert (time.basis, round(time.likely_s)) == ("measured", 200)
    assert time.low_s < 200 < time.high_s
    other = estimate(run_config(models, batch_size=2), store=store, device=CPU).time
    assert other is not None
    assert other.basis == "rough", "another batch size is another step"


def test_assumptions_say_where_the_figures_come_from(models: Path) -> None:
    found = estimate(run_config(models, student={"model": "Qwen/Qwen3-0.6B"}), store=RunStore(models), device=CPU)
    text = " ".join(found.assumptions)
    assert "nothing is paid" in text
    assert "0.6 B parameters" in text
    assert (found.likely_usd, found.teacher_is_paid) == (0.0, False)


def test_a_missing_file_is_named(models: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jsonl"):
        estimate(run_config(models, data={"path": str(models / "gone.jsonl")}), store=RunStore(models), device=CPU)


def test_separate_held_out_prompts_are_counted(models: Path) -> None:
    few = models / "few.jsonl"
    few.write_text(json.dumps({"messages": [{"role": "user", "content": "x"}]}) + "\n")
    with_few = run_config(models, data={"path": str(PROMPTS), "test_path": str(few)}, max_steps=1)
    with_many = run_config(models, data={"path": str(PROMPTS), "test_path": str(PROMPTS)}, max_steps=1)
    assert rough(with_few, models) < rough(with_many, models)


def test_the_scenario_table_is_computed(models: Path) -> None:
    table = estimate_scenarios()
    for row in table.scenarios:
        assert row.num_calls == row.num_prompts * row.num_steps
        assert row.num_tokens == 100 * row.num_calls
    mini = [row for row in table.scenarios if row.model == "openai/gpt-4o-mini"]
    assert [row.usd for row in mini] == [0.0075, 1.785]
    assert [row.usd_shown for row in mini] == ["$0.01", "$1.78"]
    assert table.likely_usd is None
