"""What can be chosen: models on this machine and with a price, presets, examples, facts about the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import psutil
import pytest

from model_folders import write_model_folder
from opd.catalogue import local_models, paid_models, suggested_models
from opd.config import RunConfig
from opd.hub_cache import cached_models, local_folder
from opd.machine import Device, describe_machine, find_device, num_cores
from opd.presets import bundled_models, demo_config, example_data, presets
from opd.store.runs import RunStore
from studio_in_tests import config, settings


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_models_in_the_cache_are_found_by_id(cache: Path) -> None:
    snapshot = write_model_folder(cache / "models--owner--name--with-dashes" / "snapshots" / "abc")
    (cache / "models--owner--empty" / "snapshots").mkdir(parents=True)
    assert list(cached_models()) == [("owner/name--with-dashes", snapshot)]
    assert local_folder("owner/name--with-dashes") == snapshot
    for model in ("owner/empty", "owner/none", "../models--owner--name", "no-owner", "a/b/c"):
        assert local_folder(model) is None, model


def test_local_models_are_bundled_ones_students_and_the_cache(cache: Path, tmp_path: Path) -> None:
    store = RunStore(tmp_path / "data")
    run = store.create(config())
    write_model_folder(run.student_path)
    store.create(config())
    write_model_folder(cache / "models--o--n" / "snapshots" / "abc")
    (write_model_folder(cache / "models--o--broken" / "snapshots" / "abc") / "model.safetensors").write_bytes(b"x")
    found = local_models(store)
    assert [model.origin for model in found] == ["bundled"] * len(bundled_models()) + ["run", "cache"]
    mine, cached = found[-2:]
    assert (mine.id, run.run_id in mine.label) == (str(run.student_path), True)
    assert (cached.id, cached.num_parameters, cached.has_chat_template) == ("o/n", 100 * 64 + 2 * 4 * 64 * 64, True)


def test_paid_models_have_dated_prices() -> None:
    models = {model.id: model for model in paid_models()}
    assert len(models) > 50
    mini = models["openai/gpt-4o-mini"]
    assert (mini.input_usd_per_million, mini.output_usd_per_million) == (0.15, 0.6)
    assert mini.retires == "2027-01-14"
    assert all(model.price_date for model in models.values())
    assert "Qwen/Qwen3-0.6B" in suggested_models()


def test_every_preset_gives_a_valid_configuration() -> None:
    kinds: list[tuple[Literal["cpu", "mps", "cuda"], float]] = [
        ("cpu", 16e9),
        ("mps", 8e9),
        ("cuda", 24e9),
        ("cuda", 8e10),
    ]
    batches = []
    for kind, memory in kinds:
        device = Device(kind=kind, name="Card", memory_total_bytes=int(memory), memory_available_bytes=int(memory))
        found = presets(device)
        assert [preset.id for preset in found] == ["quick", "balanced", "best"]
        configs = [RunConfig.model_validate({**settings(), **preset.changes}) for preset in found]
        assert [config.max_steps for config in configs] == sorted(config.max_steps for config in configs)
        assert all(
            f"{config.batch_size} completions" in preset.description
            for config, preset in zip(configs, found, strict=True)
        )
        batches.append([config.batch_size for config in configs])
    assert batches == sorted(batches), "a larger device never gets a smaller batch"


def test_the_demo_is_ready_to_run() -> None:
    demo = demo_config()
    assert demo is not None
    for path in (demo.student.model, demo.teacher.model, demo.data.path, demo.data.test_path or ""):
        assert Path(path).exists(), path


def test_the_example_data_is_found() -> None:
    names = set(example_data().values())
    assert {"on_policy_prompts.jsonl", "on_policy_prompts_test.jsonl", "demo_arithmetic.jsonl"} <= names


def test_the_machine_is_described(tmp_path: Path) -> None:
    machine = describe_machine(tmp_path / "not" / "there" / "yet")
    assert machine.memory_total_bytes == psutil.virtual_memory().total
    assert 0 < machine.disk_free_bytes <= machine.disk_total_bytes
    assert 1 <= machine.num_cores == num_cores()
    assert machine.packages["fastapi"]
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        ("NVIDIA H100 80GB HBM3, 81559, 80000", "cuda"),
        ("NVIDIA, Inc. Odd, 100, 90", "cuda"),
        ("no devices were found", "cpu"),
        ("", "cpu"),
    ],
)
def test_a_gpu_is_believed_only_when_its_driver_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, kind: str
) -> None:
    """A real program of that name on the path: what the driver's own tool prints, or fails to."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr("platform.system", lambda: "Linux")
    device = find_device()
    assert device.kind == kind
    if "H100" in says:
        assert device.memory_total_bytes == 81559 * 2**20
        assert device.name == "NVIDIA H100 80GB HBM3"
