"""The pre-flight finds what would stop a run, says it in words, and starts nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model_folders import write_model_folder
from opd.config import RunConfig
from opd.machine import Device, describe_machine, find_device
from opd.preflight import PreflightItem, asking, preflight, room
from opd.preflight import models as model_looks
from opd.store.runs import RunStore
from studio_in_tests import PROMPTS, config

pytestmark = pytest.mark.usefixtures("warm_interpreters")

GIB = 2**30


@pytest.fixture
def models(tmp_path: Path) -> Path:
    write_model_folder(tmp_path / "student")
    write_model_folder(tmp_path / "teacher", hidden=128)
    return tmp_path


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "data")


def run_config(models: Path, **changes: Any) -> RunConfig:
    base = {
        "student": {"model": str(models / "student")},
        "teacher": {"type": "local", "model": str(models / "teacher")},
        "data": {"path": str(PROMPTS), "test_fraction": 0.3},
        "sampling": {"max_completion_tokens": 64},
    }
    return config("", **{**base, **changes})


def look(config: RunConfig, store: RunStore) -> dict[str, PreflightItem]:
    items = preflight(config, store=store)
    for item in items:
        assert item.detail
        assert bool(item.fix) == (item.status != "ok"), item.id
    assert len({item.id for item in items}) == len(items)
    return {item.id: item for item in items}


def test_all_is_well(models: Path, store: RunStore) -> None:
    items = look(run_config(models), store)
    assert {item.status for item in items.values()} == {"ok"}, items
    assert set(items) == {
        "packages", "student", "teacher", "pair", "objective", "data", "held_out", "regime", "context",
        "memory", "disk", "device",
    }  # fmt: skip
    assert not store.root.exists(), "looking makes nothing"


@pytest.mark.parametrize(
    ("model", "status", "said"),
    [
        ("no/such/folder", "fail", "no Hugging Face id"),
        ("nobody/nothing-here", "warn", "downloads it first"),
        ("Qwen/Qwen3-7B", "warn", "downloads it first"),
    ],
)
def test_a_model_that_is_not_here(models: Path, store: RunStore, model: str, status: str, said: str) -> None:
    item = look(run_config(models, student={"model": model}), store)["student"]
    assert item.status == status
    assert said in item.detail


def test_a_mistaken_id_gets_the_nearest_real_one(models: Path, store: RunStore) -> None:
    assert "Qwen/Qwen3-8B" in look(run_config(models, student={"model": "Qwen/Qwen3-7B"}), store)["student"].fix


def test_dangerous_and_unfinished_folders_are_refused(models: Path, store: RunStore) -> None:
    write_model_folder(models / "code", auto_map={"AutoModel": "evil.py"})
    write_model_folder(models / "base", chat_template=False)
    write_model_folder(models / "pickled")
    (models / "pickled" / "model.safetensors").rename(models / "pickled" / "pytorch_model.bin")
    for name, said in (("code", "code"), ("base", "chat template"), ("pickled", "can run code")):
        item = look(run_config(models, student={"model": str(models / name)}), store)["student"]
        assert (item.status, said in item.detail) == ("fail", True), item


def test_models_of_two_families_do_not_go_together(models: Path, store: RunStore) -> None:
    write_model_folder(models / "other", vocabulary={f"u{i}": i for i in range(100)})
    other = {"teacher": {"type": "local", "model": str(models / "other")}}
    item = look(run_config(models, **other, objective={"type": "policy_gradient"}), store)["tokenizer"]
    assert (item.status, item.code) == ("fail", "tokenizer_differs_same_width")
    assert "0 with the same id" in item.detail
    assert look(run_config(models, **other), store)["tokenizer"].status == "warn", "a divergence compares texts"


def test_prompts_that_cannot_be_used(models: Path, store: RunStore, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"messages": [{"role": "user", "content": "a"}]}\n{"messages": 3}\n')
    item = look(run_config(models, data={"path": str(broken)}), store)["data"]
    assert item.status == "fail"
    assert "1 problem, first in line 2, byte" in item.detail
    items = look(run_config(models, data={"path": str(tmp_path / "gone.jsonl")}), store)
    assert items["data"].status == "fail"
    assert "gone.jsonl" in items["data"].detail
    assert "memory" not in items, "nothing is said that cannot be known"
    unchecked = {"path": str(PROMPTS), "answer_match": "last_number"}
    assert "no prompt has an answer" in look(run_config(models, data=unchecked), store)["data"].detail


def test_twins_and_few_held_out_prompts_are_mentioned(models: Path, store: RunStore, tmp_path: Path) -> None:
    file = tmp_path / "twins.jsonl"
    file.write_text((json.dumps({"messages": [{"role": "user", "content": "same"}]}) + "\n") * 3)
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps({"messages": [{"role": "user", "content": "different"}]}) + "\n")
    items = look(run_config(models, data={"path": str(file), "test_path": str(other)}), store)
    assert (items["data"].status, items["held_out"].status) == ("warn", "warn")
    assert "Only 1" in items["held_out"].detail
    other.write_bytes(other.read_bytes() + file.read_bytes())
    leaking = look(run_config(models, data={"path": str(file), "test_path": str(other)}), store)["held_out"]
    assert (leaking.status, leaking.detail[:33]) == ("warn", "1 of 4 are trained on as well: on")
    items = look(run_config(models, evaluation={"enabled": False}), store)
    assert "held_out" not in items


def test_prompts_longer_than_the_context(models: Path, store: RunStore) -> None:
    item = look(run_config(models, sampling={"max_completion_tokens": 2048}), store)["context"]
    assert item.status == "warn"


@pytest.mark.parametrize(("total", "status"), [(GIB // 2, "fail"), (64 * GIB, "warn")])
def test_too_little_memory(
    models: Path, store: RunStore, monkeypatch: pytest.MonkeyPatch, total: int, status: str
) -> None:
    device = Device(kind="cpu", name="small", memory_total_bytes=total, memory_available_bytes=GIB // 4)
    monkeypatch.setattr(room, "find_device", lambda: device)
    item = look(run_config(models), store)["memory"]
    assert item.status == status
    assert "micro_batch_size" in item.fix


def test_too_little_disk(models: Path, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = describe_machine(models).model_copy(update={"disk_free_bytes": 1000})
    monkeypatch.setattr(room, "describe_machine", lambda folder: machine)
    assert look(run_config(models), store)["disk"].status == "fail"


def test_a_device_that_is_taken_or_not_there(models: Path, store: RunStore) -> None:
    import os

    run = store.create(config(device="cpu"))
    run.record_process(os.getpid())
    item = look(run_config(models), store)["device"]
    assert item.status == "fail"
    assert run.run_id in item.detail
    run.end("done", step=1)
    kind = find_device().kind
    missing = "mps" if kind != "mps" else "cuda"
    assert look(run_config(models, device=missing), store)["device"].status == "fail"
    assert look(run_config(models, device="cpu"), store)["device"].status == "ok"


def test_missing_packages_are_named(models: Path, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for looks in (model_looks, asking):
        monkeypatch.setattr(looks, "missing_training_packages", lambda: ["torch", "trl"])
    item = look(run_config(models), store)["packages"]
    assert item.status == "fail"
    assert "torch, trl" in item.detail
    assert "pip install" in item.fix
