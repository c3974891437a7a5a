"""Exports for Hugging Face's libraries: adapters as PEFT reads them, and a complete model folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from opd.errors import VerificationError
from opd.export.checks import SAME, compare_logits, probe_ids
from opd.export.source import Source, need_adapter
from opd.store.exports import Check
from opd.training.models import load_tokenizer, load_weights, with_adapter

_STATE = "adapter_model.safetensors"


def write_lora(source: Source, folder: Path) -> list[Check]:
    """The adapters alone, with the name of the model they belong to.

    Raises:
        InputError: the run trained no adapters.
        VerificationError: PEFT reads something else from it.
    """
    from peft import PeftModel

    saved = need_adapter(source)
    config = source.run.config()
    learned = load_file(saved / "adapter.safetensors")
    adapted = with_adapter(_base(source), config)
    settings = adapted.peft_config["default"]
    settings.base_model_name_or_path, settings.inference_mode = config.student.model, True
    settings.save_pretrained(folder)
    save_file(learned, folder / _STATE, metadata={"format": "pt"})
    source.tokenizer.save_pretrained(folder)
    read = PeftModel.from_pretrained(_base(source), folder).eval()
    return [
        _same_tensors(learned, load_file(folder / _STATE)),
        compare_logits(source.model, read, probe_ids(source.tokenizer), tolerance=_rounding(source.model)),
    ]


def write_merged(source: Source, folder: Path) -> list[Check]:
    """The complete model as any program loads it.

    Raises:
        VerificationError: what is read back is not what was trained.
    """
    source.model.save_pretrained(folder)
    source.tokenizer.save_pretrained(folder)
    read = load_weights(folder, "auto", torch.device("cpu")).eval()
    tensors = [dict(model.state_dict()) for model in (source.model, read)]
    return [
        _same_tensors(*tensors),
        _same_tokenizer(source.tokenizer, load_tokenizer(folder)),
        compare_logits(source.model, read, probe_ids(source.tokenizer)),
    ]


def _same_tensors(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> Check:
    wrong = sorted(set(one) ^ set(other)) or [name for name in one if not torch.equal(one[name], other[name])]
    if wrong:
        raise VerificationError(f"Tensor {wrong[0]} was not read back as it was written.", hint="Try another disk.")
    return Check(what="tensors", found=f"{len(one)} read back, equal bit for bit")


def _same_tokenizer(one: Any, other: Any) -> Check:
    if probe_ids(one) != probe_ids(other) or one.get_vocab() != other.get_vocab():
        raise VerificationError("The tokenizer was not read back as it was written.", hint="Try another disk.")
    return Check(
        what="tokenizer and chat template", found=f"{len(one)} tokens, the same ids for the same conversations"
    )


def _rounding(model: Any) -> float:
    """How far adapters may differ from their merged form: by the rounding of the merged weights."""
    return {torch.bfloat16: 1e-2, torch.float16: 1e-3}.get(model.dtype, SAME)


def _base(source: Source) -> Any:
    return load_weights(source.base, source.model.dtype, torch.device("cpu"))


def write_card(folder: Path, facts: dict[str, Any]) -> None:
    """Where the model comes from, beside it."""
    (folder / "opd-export.json").write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
