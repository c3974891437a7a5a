"""A tokenizer in GGUF's words, or a sentence about why it cannot be put so.

llama.cpp divides text by rules that it has built in and that a file only names (`tokenizer.ggml.pre`). A name is
written only where the tokenizer's own rules are exactly the ones behind it: what is read back from the file is built
into a tokenizer by those rules and must divide the same texts alike.

Source of the rules: llama.cpp, src/llama-vocab.cpp, `llm_tokenizer_bpe`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from opd.errors import InputError

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
_DIGITS = r"\p{N}"
RULES: dict[str, tuple[str, ...]] = {
    "qwen2": (_QWEN2,),
    "llama-bpe": (_LLAMA3,),
    "smollm": (_DIGITS, _GPT2),
    "gpt-2": (_GPT2,),
}
"""Name in the file → expressions that llama.cpp divides text by, one after another."""
_HINT = "Export it as merged; llama.cpp's own convert_hf_to_gguf.py may know this tokenizer."
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5

TEXTS = (
    "What is 17 + 26? It's 43.",
    "Cloud 1,204.5 and Hardware 96 make 1300.5 € million; that's +8 %.",
    "  two  spaces\n\n\tand a tab\r\n  ",
    "Größe naïve don't DON'T we'LL x2y3 2026-11-27",
    "你好 🙂 안녕 привет",
)


@dataclass(frozen=True)
class Words:
    """What goes into the file: each id's token and kind, merges, and the name of the rules."""

    pre: str
    tokens: tuple[str, ...]
    kinds: tuple[int, ...]
    merges: tuple[str, ...]


def read_words(tokenizer: Any, vocab_size: int) -> Words:
    """The tokenizer as a file would hold it.

    Args:
        vocab_size: rows of the embedding; ids beyond the tokenizer's are padding.

    Raises:
        InputError: it is no byte-level BPE, or its rules are none of llama.cpp's.
    """
    spec = json.loads(tokenizer.backend_tokenizer.to_str())
    model = spec["model"]
    kinds_of = {part["type"] for part in _parts(spec.get("pre_tokenizer"))}
    if model["type"] != "BPE" or "ByteLevel" not in kinds_of:
        found = ", ".join(sorted(kinds_of)) or "no rules"
        raise InputError(
            f"This tokenizer is {model['type']} ({found}); expected byte-level BPE.",
            hint=_HINT,
        )
    added = {entry["id"]: entry for entry in spec["added_tokens"]}
    ids = {index: token for token, index in model["vocab"].items()} | {i: e["content"] for i, e in added.items()}
    tokens = [ids.get(index, f"[PAD{index}]") for index in range(vocab_size)]
    kinds = [_kind(index, added, ids) for index in range(vocab_size)]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    return Words(_rules_of(spec), tuple(tokens), tuple(kinds), tuple(merges))


def built(words: Words) -> Any:
    """A tokenizer made of a file's words by llama.cpp's rules."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    ordinary = {
        token: index
        for index, (token, kind) in enumerate(zip(words.tokens, words.kinds, strict=True))
        if kind == NORMAL
    }
    specials = [
        (token, kind) for token, kind in zip(words.tokens, words.kinds, strict=True) if kind in (CONTROL, USER_DEFINED)
    ]
    vocab = ordinary | {token: words.tokens.index(token) for token, _ in specials}
    merges = [(left, right) for left, _, right in (merge.partition(" ") for merge in words.merges)]
    backend = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    splits: list[Any] = [pre_tokenizers.Split(Regex(rule), "isolated") for rule in RULES[words.pre]]
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    backend.decoder = decoders.ByteLevel()
    backend.add_tokens([AddedToken(token, normalized=False, special=kind == CONTROL) for token, kind in specials])
    return backend


def first_difference(tokenizer: Any, backend: Any, texts: Sequence[str]) -> str | None:
    """The first text that both divide differently."""
    own = tokenizer.backend_tokenizer
    for text in texts:
        if own.encode(text, add_special_tokens=False).ids != backend.encode(text, add_special_tokens=False).ids:
            return text
    return None


def _rules_of(spec: dict[str, Any]) -> str:
    steps = [part for part in _parts(spec["pre_tokenizer"]) if part["type"] != "Sequence"]
    rules: list[str] = []
    for step in steps:
        if step["type"] == "Split" and step.get("behavior") == "Isolated" and not step.get("invert"):
            rules.append(str(step["pattern"].get("Regex")))
        elif step["type"] == "Digits" and step.get("individual_digits"):
            rules.append(_DIGITS)
        elif step["type"] == "ByteLevel" and not step.get("add_prefix_space"):
            rules += [_GPT2] if step.get("use_regex") else []
        else:
            rules.append(step["type"])
    names = [name for name, known in RULES.items() if known == tuple(rules)]
    if not names:
        raise InputError(
            "llama.cpp divides text by built-in rules, and this tokenizer's are not among those known here "
            f"({', '.join(RULES)}).",
            hint=_HINT,
        )
    return names[0]


def _kind(index: int, added: dict[int, dict[str, Any]], ids: dict[int, str]) -> int:
    if index in added:
        return CONTROL if added[index]["special"] else USER_DEFINED
    return NORMAL if index in ids else UNUSED


def _parts(node: Any) -> list[dict[str, Any]]:
    if not isinstance(node, dict):
        return []
    return [node, *(part for inner in node.get("pretokenizers", []) for part in _parts(inner))]
