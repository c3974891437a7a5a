"""Model folders for tests that need their sizes and not their answers: true headers, weights all zero."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any


def write_model_folder(
    folder: Path,
    *,
    hidden: int = 64,
    layers: int = 2,
    vocabulary: dict[str, int] | None = None,
    chat_template: bool = True,
    **config: Any,
) -> Path:
    """A causal language model as its files describe it. Weights of any size take no disk: the file is sparse."""
    vocabulary = vocabulary or {f"t{i}": i for i in range(100)}
    folder.mkdir(parents=True)
    shapes = {"model.embed_tokens.weight": [len(vocabulary), hidden]}
    shapes |= {f"model.layers.{i}.mlp.weight": [4 * hidden, hidden] for i in range(layers)}
    table, offset = {}, 0
    for name, shape in shapes.items():
        size = math.prod(shape) * 4
        table[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    header = json.dumps(table).encode()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + offset)
    facts = {
        "architectures": ["Qwen3ForCausalLM"],
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": len(vocabulary),
        "max_position_embeddings": 2048,
        "eos_token_id": 2,
        **config,
    }
    (folder / "config.json").write_text(json.dumps(facts))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ x }}"} if chat_template else {}))
    tokenizer = {"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": vocabulary, "merges": []}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder
