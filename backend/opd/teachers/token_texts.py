"""The texts of a tokenizer's tokens, for servers that speak in texts (see `dialects.TokenTexts`). No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any


class TokenizerTexts:
    """Texts of a tokenizer's tokens.

    Args:
        decode: ids to text, special tokens included.
        vocabulary: ids by name.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], vocabulary: Mapping[str, int]):
        self._decode, self._vocabulary = decode, vocabulary

    @classmethod
    def of(cls, tokenizer: Any) -> TokenizerTexts:
        """Of a Hugging Face tokenizer."""
        return cls(lambda ids: str(tokenizer.decode(list(ids), skip_special_tokens=False)), tokenizer.get_vocab())

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of a sequence, special tokens included."""
        return self._decode(ids)

    def id_of(self, text: str) -> int | None:
        """The token with this text, or with this name in the vocabulary; None where none or several have it."""
        found = self._by_text.get(text)
        return self._vocabulary.get(text) if found is None else found

    @cached_property
    def _by_text(self) -> dict[str, int]:
        texts = {index: self.text_of([index]) for index in self._vocabulary.values()}
        counts = Counter(texts.values())
        # Halves of characters all decode to the same replacement sign: such texts name no token.
        return {text: index for index, text in texts.items() if counts[text] == 1}
