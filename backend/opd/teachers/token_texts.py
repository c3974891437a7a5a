"""The texts of a tokenizer's tokens, for servers that speak in texts (see `dialects.TokenTexts`). No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any


class TokenizerTexts:
    """Texts of a Hugging Face tokenizer's tokens."""

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of a sequence, special tokens included."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def id_of(self, text: str) -> int | None:
        """The token with this text, or with this name in the vocabulary; None where none or several have it."""
        found = self._by_text.get(text)
        return self._by_name.get(text) if found is None else found

    @cached_property
    def _by_name(self) -> dict[str, int]:
        return {str(name): int(index) for name, index in self._tokenizer.get_vocab().items()}

    @cached_property
    def _by_text(self) -> dict[str, int]:
        texts = {index: self.text_of([index]) for index in self._by_name.values()}
        counts = Counter(texts.values())
        # Halves of characters all decode to the same replacement sign: such texts name no token.
        return {text: index for index, text in texts.items() if counts[text] == 1}
