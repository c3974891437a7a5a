"""Worlds small enough to enumerate: a law over all short texts, and the token laws that follow from it exactly.

A tokenizer here cuts runs of letters into chunks of `size`, left to right, as the digit rules of real tokenizers do.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from opd.objectives.alignment import TextCodec

END = 0
Tokens = tuple[int, ...]


def chunk_codec(size: int, shift: int = 0) -> TextCodec:
    """Chunks of up to `size` letters of a and b; c always stands alone. `shift` gives the tokens other ids."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    words = ["".join(t) for length in range(1, size + 1) for t in itertools.product("ab", repeat=length)]
    order = ["c", *words] if shift else [*words, "c"]
    vocab = {"<end>": END, "<other>": 1, **{word: 2 + place for place, word in enumerate(order)}}
    backend = Tokenizer(
        models.BPE(vocab=vocab, merges=[(w[:-1], w[-1]) for w in words if len(w) > 1], ignore_merges=True)
    )
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(f"[ab]{{1,{size}}}|c"), "isolated")
    backend.decoder = decoders.Fuse()
    backend.add_special_tokens(["<end>", "<other>"])
    return TextCodec(SimpleNamespace(backend_tokenizer=backend), vocab_size=len(vocab), eos_ids=[END])


@dataclass(frozen=True)
class World:
    """Every text up to a length, with its probability."""

    texts: list[str]
    weights: list[float]

    @staticmethod
    def random(alphabet: str, length: int, seed: int = 0) -> World:
        texts = ["".join(t) for n in range(length + 1) for t in itertools.product(alphabet, repeat=n)]
        scores = torch.randn(len(texts), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return World(texts, torch.softmax(1.5 * scores, 0).tolist())

    def written_by(self, codec: TextCodec) -> list[Tokens]:
        """Each text as a completion of a model with this tokenizer."""
        return [(*(codec.encode(text.encode()) or ()), END) for text in self.texts]

    def next_laws(self, codec: TextCodec) -> dict[Tokens, dict[int, float]]:
        """By enumeration: for every beginning, the probability of each next token."""
        laws: dict[Tokens, dict[int, float]] = {}
        for ids, weight in zip(self.written_by(codec), self.weights, strict=True):
            for k, token in enumerate(ids):
                law = laws.setdefault(ids[:k], {})
                law[token] = law.get(token, 0.0) + weight
        return {start: {t: w / sum(law.values()) for t, w in law.items()} for start, law in laws.items()}

    def logits(self, codec: TextCodec, rows: Sequence[Tokens]) -> Tensor:
        """Log-laws before each token of `rows`, end to end: what a perfect model of this world gives."""
        laws = self.next_laws(codec)
        table = []
        for ids in rows:
            for k in range(len(ids)):
                row = torch.full((codec.vocab_size,), -80.0, dtype=torch.float64)
                for token, probability in laws[ids[:k]].items():
                    row[token] = math.log(probability)
                table.append(row)
        return torch.stack(table)
