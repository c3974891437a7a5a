"""Folders of LoRA adapters: served as their model with them merged, as PEFT does it, and nothing else is let in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from opd.errors import ModelMismatchError, UnsafeModelError
from opd.serving.adapters import CONFIG, STATE, find_adapter
from opd.serving.loading import load_served
from tokenizers_in_tests import byte_level, model_for


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`base` and, beside it, `adapter` as PEFT saves it, with weights that change something."""
    from peft import LoraConfig, get_peft_model

    root = tmp_path_factory.mktemp("models")
    tokenizer = byte_level("three_digits", 900, 1)
    model = model_for(tokenizer, seed=3)
    model.save_pretrained(root / "base")
    tokenizer.save_pretrained(root / "base")
    torch.manual_seed(0)
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=6, target_modules="all-linear", init_lora_weights=False))
    adapted.peft_config["default"].base_model_name_or_path = "../base"
    adapted.save_pretrained(root / "adapter")
    return root


@pytest.fixture
def adapter(folder: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    shutil.copytree(folder, tmp_path / "copy")
    return tmp_path / "copy" / "adapter"


def change(adapter: Path, **values: Any) -> None:
    path = adapter / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_merged_as_peft_merges(folder: Path) -> None:
    from peft import PeftModel

    plain = load_served(folder / "base", device="cpu")
    ours = load_served(folder / "adapter", device="cpu")
    theirs = PeftModel.from_pretrained(load_served(folder / "base", device="cpu").model, folder / "adapter")
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        logits = [model(ids).logits for model in (ours.model, theirs.merge_and_unload(), plain.model)]
    torch.testing.assert_close(logits[0], logits[1])
    assert (logits[0] - logits[2]).abs().max() > 0.1


def test_a_head_that_is_adapted_parts_from_the_embeddings_it_was_tied_to(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict

    tokenizer = byte_level("three_digits", 900, 1)
    model = model_for(tokenizer, seed=3)
    model.config.tie_word_embeddings = True
    model.tie_weights()
    model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["lm_head"], init_lora_weights=False))
    adapted.peft_config["default"].base_model_name_or_path = "../base"
    adapted.peft_config["default"].save_pretrained(tmp_path / "adapter")
    save_file(get_peft_model_state_dict(adapted, save_embedding_layers=False), tmp_path / "adapter" / STATE)
    ours, ids = load_served(tmp_path / "adapter", device="cpu").model, torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        torch.testing.assert_close(ours(ids).logits, adapted(ids).logits)
    embeddings = model.get_input_embeddings().weight
    torch.testing.assert_close(ours.get_input_embeddings().weight, embeddings)


def test_a_folder_of_a_model_is_none_of_adapters(folder: Path) -> None:
    assert find_adapter(folder / "base") is None
    assert find_adapter("owner/name") is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("peft_type", "IA3"),
        ("use_dora", True),
        ("use_rslora", True),
        ("modules_to_save", ["lm_head"]),
        ("rank_pattern", {"q_proj": 8}),
        ("bias", "all"),
        ("r", 0),
        ("base_model_name_or_path", None),
    ],
)
def test_what_is_no_plain_lora_is_refused_by_name(adapter: Path, key: str, value: Any) -> None:
    change(adapter, **{key: value})
    with pytest.raises(UnsafeModelError, match=key):
        load_served(adapter)


def test_weights_that_lead_out_of_the_folder_are_refused(adapter: Path) -> None:
    (adapter / STATE).rename(adapter.parent / "elsewhere")
    (adapter / STATE).symlink_to(adapter.parent / "elsewhere")
    with pytest.raises(UnsafeModelError, match="leads out"):
        load_served(adapter)


def test_adapters_of_another_model_are_refused(adapter: Path) -> None:
    state = load_file(adapter / STATE)
    name = next(name for name in state if name.endswith("lora_B.weight"))
    for spoiled in (
        {key: tensor for key, tensor in state.items() if key != name},
        {**state, name: state[name][:-1].clone()},
        {**state, "base_model.model.model.embed_tokens.extra": torch.zeros(2, 2)},
    ):
        save_file(spoiled, adapter / STATE)
        with pytest.raises(ModelMismatchError, match="does not fit its model"):
            load_served(adapter)
