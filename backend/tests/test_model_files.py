"""The gate in front of every model loader, on folders made here."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from opd.config import parse_config, resolve_paths
from opd.errors import ModelNotFoundError, UnsafeModelError
from opd.hub_cache import local_folder
from opd.model_files import (
    KNOWN_MODELS,
    check_model_folder,
    find_model,
    find_tokenizer,
    nearest_models,
    read_facts,
)


def weights(tensors: dict[str, list[int]]) -> bytes:
    header, data = {}, b""
    for name, shape in tensors.items():
        num = 4
        for side in shape:
            num *= side
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + num]}
        data += bytes(num)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    config = {
        "architectures": ["Qwen3ForCausalLM"],
        "vocab_size": 10,
        "max_position_embeddings": 64,
        "hidden_size": 4,
        "num_hidden_layers": 2,
        "eos_token_id": 3,
    }
    (path / "config.json").write_text(json.dumps(config))
    (path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    (path / "model.safetensors").write_bytes(weights({"a": [10, 4], "b": [4]}))
    return path


def edit(path: Path, **change: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def test_facts_come_from_the_files(folder: Path) -> None:
    facts = read_facts(find_model(str(folder)))
    assert (facts.num_parameters, facts.num_bytes, facts.vocab_size) == (44, 176, 10)
    assert (facts.context_length, facts.has_chat_template, facts.eos_token_ids) == (64, True, (3,))


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("key", ["auto_map", "_attn_implementation_internal", "trust_remote_code"])
def test_code_is_refused(folder: Path, name: str, key: str) -> None:
    edit(folder / name, **{key: {"AutoModel": "evil--Model"}})
    with pytest.raises(UnsafeModelError, match=key):
        check_model_folder(folder)


@pytest.mark.parametrize("target", ["../out.safetensors", "pytorch_model.bin", "/etc/passwd", "a/b.safetensors"])
def test_an_index_that_leaves_the_folder_is_refused(folder: Path, target: str) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": target}}))
    with pytest.raises(UnsafeModelError):
        check_model_folder(folder)


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UnsafeModelError, match="run code"):
        check_model_folder(folder)


def test_links_out_of_the_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.safetensors"
    (folder / "model.safetensors").rename(outside)
    (folder / "model.safetensors").symlink_to(outside)
    with pytest.raises(UnsafeModelError, match="leads out"):
        check_model_folder(folder)


def test_a_fifo_is_refused(folder: Path) -> None:
    (folder / "tokenizer_config.json").unlink()
    os.mkfifo(folder / "tokenizer_config.json")
    with pytest.raises(UnsafeModelError):
        check_model_folder(folder)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 8,
        struct.pack("<Q", 10**12) + b"{}",
        struct.pack("<Q", 4) + b"nope",
        weights({"a": [10, 4]})[:-1],
        struct.pack("<Q", 62) + b'{"a": {"dtype": "F32", "shape": [99], "data_offsets": [0, 4]}}' + bytes(4),
    ],
    ids=["empty", "ones", "huge header", "no json", "cut off", "shape beyond data"],
)
def test_dishonest_headers_are_refused(folder: Path, data: bytes) -> None:
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(UnsafeModelError):
        check_model_folder(folder)


def test_a_missing_file_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match=r"model\.safetensors"):
        check_model_folder(folder)
    with pytest.raises(ModelNotFoundError):
        find_model(str(tmp_path / "nowhere"))


def test_an_id_that_does_not_exist_names_the_nearest_real_one() -> None:
    assert "Qwen/Qwen3-8B" in nearest_models("Qwen/Qwen3-7B")
    assert nearest_models("completely/else") == []
    assert all(nearest_models(known)[0] == known for known in KNOWN_MODELS)


def test_offline_an_unknown_id_fails_soon_and_names_the_way_out(tmp_path: Path) -> None:
    code = (
        "from opd.model_files import find_model\nfrom opd.errors import ModelNotFoundError\n"
        "try: find_model('Qwen/Qwen3-7B')\nexcept ModelNotFoundError as error: print(error)"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    started = time.monotonic()
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert "Qwen/Qwen3-7B" in out.stdout
    assert "Qwen/Qwen3-8B" in out.stdout
    assert time.monotonic() - started < 60


def test_a_tokenizer_that_was_fetched_alone_is_found_and_is_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's client calls a folder complete that holds only what was once asked for."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    model = tmp_path / "models--owner--name"
    snapshot = model / "snapshots" / ("a" * 40)
    for path, text in ((snapshot / "tokenizer.json", "{}"), (model / "refs" / "main", "a" * 40)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert find_tokenizer("owner/name") == find_tokenizer(str(snapshot / "tokenizer.json")) == snapshot
    with pytest.raises(ModelNotFoundError, match="cannot be reached"):
        find_model("owner/name")
    with pytest.raises(ModelNotFoundError, match="cannot be reached"):
        find_tokenizer("owner/other")
    with pytest.raises(ModelNotFoundError, match="no tokenizer"):
        find_tokenizer(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    "model", ["~nobody-of-this-name/model", "/" + "far-too-long" * 100, "nul\0"], ids=["home", "long", "nul"]
)
def test_a_name_that_no_folder_can_have_is_no_folder(model: str) -> None:
    assert local_folder(model) is None
    with pytest.raises(ModelNotFoundError):
        find_model(model)
    settings = {"student": {"model": model}, "teacher": {"type": "local", "model": model}, "data": {"path": model}}
    assert resolve_paths(parse_config(settings), Path.cwd()).student.model == model
