"""Real tokenizers of the usual families, trained in a moment on a few hundred lines; and tiny models for them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from typing import Any

from tiny import CHAT_TEMPLATE, make_model

# How the families divide text before merging: one digit each (Llama 1, Qwen), up to three (GPT-4, Llama 3), no rule.
SPLITS = {
    "one_digit": r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "three_digits": r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "words": r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
}
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_WORDS = (
    "revenue margin segment tokenization tokens total growth analyst quarterly unfinished reworking works worked "
    "working token price prices priced cloud hardware the then there these of on only in into für größer 你好 🙂"
).split()


def corpus(num_lines: int, seed: int) -> Iterator[str]:
    """Lines of words, sums and punctuation."""
    chooser = random.Random(seed)
    for _ in range(num_lines):
        a, b = chooser.randrange(2000), chooser.randrange(2000)
        words = " ".join(chooser.choices(_WORDS, k=chooser.randrange(3, 9)))
        yield f"{words.capitalize()}: {a}+{b}={a + b}, {chooser.randrange(100)}.{chooser.randrange(100)} %.\n"


@cache
def byte_level(split: str, vocab_size: int = 420, seed: int = 0, specials_last: bool = False) -> Any:
    """A byte-level BPE tokenizer with a chat template."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLITS[split]), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[] if specials_last else SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(corpus(400, seed), trainer)
    backend.add_special_tokens(SPECIALS)
    return _fast(backend)


@cache
def sentence_pieces(vocab_size: int = 420, seed: int = 0, leading_space: bool = True) -> Any:
    """A BPE tokenizer in SentencePiece's manner: ▁ for spaces, <0xNN> for what has no piece."""
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers

    backend = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    prepend = [normalizers.Prepend("▁")] if leading_space else []
    backend.normalizer = normalizers.Sequence([*prepend, normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<unk>", *SPECIALS, *(f"<0x{byte:02X}>" for byte in range(256))],
        limit_alphabet=70,
        max_token_length=12,
        show_progress=False,
    )
    pieces = (piece for line in corpus(400, seed) for piece in line.replace(" ", "\n ").split("\n") if piece)
    backend.train_from_iterator(pieces, trainer)
    # The byte pieces were reserved as special so that training keeps them; they are ordinary tokens.
    import json

    spec = json.loads(backend.to_str())
    spec["added_tokens"] = [token for token in spec["added_tokens"] if not token["content"].startswith("<0x")]
    return _fast(Tokenizer.from_str(json.dumps(spec)))


def _fast(backend: Any) -> Any:
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.padding_side = "left"
    fast.chat_template = CHAT_TEMPLATE
    return fast


def model_for(tokenizer: Any, *, kind: str = "qwen3", seed: int = 0, **changes: Any) -> Any:
    """A tiny model with random weights for this tokenizer."""
    eos = tokenizer.convert_tokens_to_ids("<|im_end|>")
    settings = {"vocab_size": len(tokenizer), "eos_token_id": eos, "max_position_embeddings": 512, **changes}
    model = make_model(kind, seed=seed, **settings)
    model.generation_config.eos_token_id = eos
    return model
