"""How large a model is: from its files where it is on this machine, else from the size in its name."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from opd.errors import OPDError
from opd.hub_cache import local_folder
from opd.model_files import read_facts

_SIZE_IN_NAME = re.compile(r"(\d+(?:\.\d+)?)([bm])(?![a-z])")


@dataclass(frozen=True)
class ModelSize:
    """What memory and time follow from."""

    num_parameters: int
    hidden_size: int
    num_layers: int
    vocab_size: int
    key_value_size: int
    """Numbers that one token leaves in a layer's cache, keys and values together."""
    exact: bool
    """Read from files; else guessed from the name."""


def find_size(model: str) -> ModelSize | None:
    """Size of a model that is here, or of one whose name tells it (Qwen/Qwen3-0.6B); None otherwise."""
    folder = local_folder(model)
    if folder is None:
        return _from_name(model)
    try:
        facts = read_facts(folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OPDError, OSError, ValueError, KeyError, TypeError):
        return None  # preflight says what is wrong with it
    config = config.get("text_config") or config
    heads = int(config.get("num_attention_heads") or 1)
    key_value_heads = int(config.get("num_key_value_heads") or heads)
    head_size = int(config.get("head_dim") or facts.hidden_size // heads)
    return ModelSize(
        num_parameters=facts.num_parameters,
        hidden_size=facts.hidden_size,
        num_layers=facts.num_layers,
        vocab_size=facts.vocab_size,
        key_value_size=2 * key_value_heads * head_size,
        exact=True,
    )


def _from_name(model: str) -> ModelSize | None:
    found = _SIZE_IN_NAME.search(model.lower())
    if found is None:
        return None
    num = int(float(found[1]) * (1e9 if found[2] == "b" else 1e6))
    # A usual decoder: 12 h² weights a layer and about 1/48 as many layers as its width.
    hidden = max(64, round((4 * num) ** (1 / 3) / 64) * 64)
    layers = max(2, round(num / (12 * hidden**2)))
    return ModelSize(num, hidden, layers, vocab_size=150_000, key_value_size=hidden // 2, exact=False)
