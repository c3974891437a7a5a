"""Tiny real models for tests: random weights, a real byte-level tokenizer, saved like any model folder."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_model(kind: str = "qwen3", *, seed: int = 0, vocab_size: int = 97, **changes: Any) -> Any:
    """A two-layer model of a family, with weights large enough that its distributions are far from uniform."""
    import torch
    import transformers

    torch.manual_seed(seed)
    names = {"qwen3": "Qwen3", "qwen2": "Qwen2", "llama": "Llama", "mistral": "Mistral", "gemma": "Gemma"}
    settings: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "initializer_range": 0.5,
        **({"head_dim": 8} if kind in {"qwen3", "gemma"} else {}),
        **({"sliding_window": None} if kind == "mistral" else {}),
        **changes,
    }
    config = getattr(transformers, f"{names[kind]}Config")(**settings)
    model = getattr(transformers, f"{names[kind]}ForCausalLM")(config).eval()
    model.generation_config.eos_token_id = 2
    return model


def make_tokenizer() -> Any:
    """97 tokens: pad, unknown, end of turn, start of turn, and one for every printable character that is left."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<|pad|>", "<|unk|>", "<|im_end|>", "<|im_start|>"]
    characters = [*string.ascii_lowercase, *string.ascii_uppercase, *string.digits, *" \n.,:;!?'\"()+-=*/%$&<>|_[]{}"]
    words = [*special, *characters]
    vocab = {word: index for index, word in enumerate(words[:97])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<|unk|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(special)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        unk_token="<|unk|>",
        padding_side="left",
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def save_model(folder: Path, kind: str = "qwen3", *, seed: int = 0, **changes: Any) -> Path:
    """A model folder as anyone would have it."""
    make_model(kind, seed=seed, **changes).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder
