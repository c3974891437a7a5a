"""A tokenizer seen as bytes: which bytes each token stands for, and how given bytes are divided into tokens.

In: a fast Hugging Face tokenizer and the width of its model's logits. Out: `TextCodec`. Knows nothing of models,
losses or chat templates. No torch.

Text here is what a model wrote: never normalised, and a piece of it that spells a special token is just characters.
Three families are understood, which covers the open-weight models in use: byte-level BPE (GPT-2, Llama 3, Qwen),
SentencePiece-style pieces with ▁ for a space and <0xNN> for bytes (Llama 2, Mistral, Gemma), and plain pieces.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from copy import copy
from functools import cached_property
from hashlib import sha256
from typing import Any

from opd.errors import ModelMismatchError

_SPACE = "▁"
# Written by a tokenizer of another family, or one that changes what it reads, these come back different.
_ROUND_TRIPS = ("a", "Revenue rose 12.5 % to $1,234", "two  spaces\n\nand lines", "Ünïcödé 你好 🙂", " lead")


class TextCodec:
    """Tokens as bytes and bytes as tokens, for one tokenizer.

    Attributes:
        vocab_size: width of the model's logits; ids from the tokenizer's end up to here are padding.
        eos_ids: tokens that end the assistant's turn; the first is the one a completion is closed with.
        bytes_of: what each id stands for; None for special tokens and padding, which stand for no text.
        leading_space: the tokenizer writes a space of its own before the first word of a text (Llama 2). The first
            token of a response then has one byte more than it means (a lone ▁ means nothing at all);
            `table(at_start=True)` leaves it out.
    """

    def __init__(self, tokenizer: Any, *, vocab_size: int, eos_ids: Sequence[int]):
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ModelMismatchError(
                f"{type(tokenizer).__name__} is not a fast tokenizer; its tokens cannot be read as bytes.",
                hint="Use a model folder with a tokenizer.json, or a teacher with the student's tokenizer.",
            )
        spec = json.loads(backend.to_str())
        self.vocab_size = vocab_size
        self.eos_ids = tuple(eos_ids)
        self._family = _family(spec)
        self._inside, self._first = _plain_encoders(backend, spec)
        self.bytes_of = self._byte_table(backend)
        self.leading_space = self._writes_leading_space()
        self._check(tokenizer)

    @cached_property
    def digest(self) -> str:
        """Equal digests: the same bytes at the same ids, and the same way of dividing text."""
        state = json.loads(self._inside.to_str())
        parts = [self.bytes_of, self.eos_ids, self.leading_space, state["model"], state["pre_tokenizer"]]
        return sha256(repr(parts).encode()).hexdigest()

    def without_leading_space(self) -> TextCodec:
        """The same codec for texts that are compared with another of this kind: the space is then part of the text."""
        same = copy(self)
        same.leading_space = False
        return same

    def table(self, at_start: bool) -> Sequence[bytes | None]:
        """`bytes_of`, or the same for the first token of a response."""
        return self._start_table if at_start and self.leading_space else self.bytes_of

    def encode(self, data: bytes, *, at_start: bool = False) -> tuple[int, ...] | None:
        """Divide bytes into tokens as the tokenizer would; None where its vocabulary cannot write them.

        Args:
            at_start: the bytes begin a response; else they go on inside one.
        """
        return self.encode_many([data], at_start=at_start)[0]

    def encode_many(self, pieces: Sequence[bytes], *, at_start: bool = False) -> list[tuple[int, ...] | None]:
        """`encode` of each piece; much faster than one by one."""
        encoder = self._first if at_start and self.leading_space else self._inside
        texts: list[str] = []
        tails: list[bytes] = []
        for piece in pieces:
            text, tail = split_utf8(piece)
            texts.append(text)
            tails.append(tail)
        batch = encoder.encode_batch_fast(texts, add_special_tokens=False)
        found: list[tuple[int, ...] | None] = []
        table = self.table(at_start)
        for piece, encoding, tail in zip(pieces, batch, tails, strict=True):
            ids = tuple(encoding.ids) if not tail else self._encode_broken(piece, tuple(encoding.ids), tail)
            found.append(ids if self._spells(table, ids, piece) else None)
        return found

    def extensions(self, prefix: bytes, *, at_start: bool = False, strictly: bool = True) -> range:
        """Places in `sorted_ids` of the tokens whose bytes begin with `prefix` (and go on, if `strictly`)."""
        words, _ = self._sorted(at_start and self.leading_space)
        low = (bisect_right if strictly else bisect_left)(words, prefix)
        beyond = _after(prefix)
        return range(low, len(words) if beyond is None else bisect_left(words, beyond))

    def sorted_ids(self, places: Iterable[int], *, at_start: bool = False) -> list[int]:
        """Token ids at these places of the order by bytes."""
        _, ids = self._sorted(at_start and self.leading_space)
        return [ids[place] for place in places]

    def exactly(self, word: bytes, *, at_start: bool = False) -> list[int]:
        """Every token that stands for exactly these bytes."""
        words, ids = self._sorted(at_start and self.leading_space)
        return ids[bisect_left(words, word) : bisect_right(words, word)]

    def _sorted(self, at_start: bool) -> tuple[list[bytes], list[int]]:
        return self._sorted_start if at_start else self._sorted_inside

    @cached_property
    def _sorted_inside(self) -> tuple[list[bytes], list[int]]:
        return _by_bytes(self.bytes_of)

    @cached_property
    def _sorted_start(self) -> tuple[list[bytes], list[int]]:
        return _by_bytes(self._start_table)

    @cached_property
    def _start_table(self) -> list[bytes | None]:
        return [word[1:] if word and word.startswith(b" ") else word for word in self.bytes_of]

    def _byte_table(self, backend: Any) -> list[bytes | None]:
        added = backend.get_added_tokens_decoder()
        table: list[bytes | None] = [None] * self.vocab_size
        for token, index in backend.get_vocab(with_added_tokens=True).items():
            if index >= self.vocab_size:
                raise ModelMismatchError(
                    f"The tokenizer has token id {index}, the model only {self.vocab_size} outputs.",
                    hint="Tokenizer and weights are of different models; fetch the folder again.",
                )
            if index in added:
                table[index] = None if added[index].special else token.encode()
            else:
                table[index] = _token_bytes(token, self._family)
        for index in self.eos_ids:
            table[index] = None
        return table

    def _writes_leading_space(self) -> bool:
        ids = self._first.encode("a", add_special_tokens=False).ids
        return b"".join(self.bytes_of[i] or b"" for i in ids) == b" a"

    def _encode_broken(self, piece: bytes, ids: tuple[int, ...], tail: bytes) -> tuple[int, ...]:
        """Tokens of bytes that are no UTF-8 text, such as half a character."""
        if self._family == "byte_level":
            mapped = "".join(_BYTE_TO_CHAR[byte] for byte in piece)
            return tuple(token.id for token in self._inside.model.tokenize(mapped))
        single = [self.exactly(bytes([byte])) for byte in tail]
        return ids + tuple(found[0] for found in single if found)

    def _spells(self, table: Sequence[bytes | None], ids: tuple[int, ...], piece: bytes) -> bool:
        words = [(table if place == 0 else self.bytes_of)[token] for place, token in enumerate(ids)]
        return None not in words and b"".join(word for word in words if word is not None) == piece

    def _check(self, tokenizer: Any) -> None:
        for text in _ROUND_TRIPS:
            ids = self.encode(text.encode())
            if ids is not None:
                continue
            if self._family == "plain" and any(character not in self._plain_characters for character in text):
                continue  # a small closed alphabet is fine as long as it changes nothing it knows
            name = getattr(tokenizer, "name_or_path", "") or "this model"
            raise ModelMismatchError(
                f"The tokenizer of {name} does not give back the text it was given ({text!r}), "
                "so its tokens cannot be laid beside another tokenizer's.",
                hint="Choose a teacher and a student with byte-level or byte-fallback tokenizers, or one tokenizer.",
            )

    @cached_property
    def _plain_characters(self) -> frozenset[str]:
        return frozenset(word.decode() for word in self.bytes_of if word and len(word.decode(errors="ignore")) == 1)


def _family(spec: dict[str, Any]) -> str:
    kinds = {part.get("type") for key in ("decoder", "pre_tokenizer") for part in _parts(spec.get(key))}
    if "ByteLevel" in kinds:
        return "byte_level"
    if kinds & {"Metaspace", "ByteFallback"}:
        return "pieces"
    if kinds & {"WordPiece", "BPEDecoder", "CTC"}:
        raise ModelMismatchError(
            "This tokenizer drops spaces (WordPiece or end-of-word marks); its tokens cannot be read as bytes.",
            hint="Choose a model with a byte-level or SentencePiece tokenizer.",
        )
    return "plain"


def _parts(node: Any) -> list[dict[str, Any]]:
    """A component and all components nested in it."""
    if not isinstance(node, dict):
        return []
    inner = [*node.get("pretokenizers", []), *node.get("normalizers", []), *node.get("decoders", [])]
    return [node, *(part for item in inner for part in _parts(item))]


def _plain_encoders(backend: Any, spec: dict[str, Any]) -> tuple[Any, Any]:
    """The tokenizer without normalisation, truncation and special tokens: inside a text, and at its start."""
    from tokenizers import Tokenizer

    def build(at_start: bool) -> Any:
        edited = dict(spec, post_processor=None, truncation=None, padding=None)
        edited["normalizer"] = _keep_spaces_only(spec.get("normalizer"), at_start)
        if not at_start:
            edited["pre_tokenizer"] = _without_prefix(spec.get("pre_tokenizer"))
        encoder = Tokenizer.from_str(json.dumps(edited))
        encoder.encode_special_tokens = True
        return encoder

    inside = build(False)
    probe = "a b"
    first = build(True)
    same = inside.encode(probe).ids == first.encode(probe).ids
    return inside, inside if same else first


def _keep_spaces_only(node: Any, at_start: bool) -> Any:
    """Of the normalizers, what writes ▁ for spaces; nothing that changes what was written."""
    kept = [
        part
        for part in _parts(node)
        if (part.get("type") == "Replace" and part.get("pattern") == {"String": " "})
        or (part.get("type") == "Prepend" and at_start)
    ]
    return {"type": "Sequence", "normalizers": kept} if kept else None


def _without_prefix(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    edited = dict(node)
    if "pretokenizers" in node:
        edited["pretokenizers"] = [_without_prefix(part) for part in node["pretokenizers"]]
    if node.get("type") == "Metaspace":
        edited["prepend_scheme"] = "never"
    if node.get("type") == "ByteLevel":
        edited["add_prefix_space"] = False
    return edited


def _token_bytes(token: str, family: str) -> bytes | None:
    if family == "byte_level":
        found = [_CHAR_TO_BYTE.get(character) for character in token]
        return bytes(byte for byte in found if byte is not None) if None not in found else token.encode()
    if family == "pieces":
        if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            return bytes([int(token[3:5], 16)])
        return token.replace(_SPACE, " ").encode()
    return token.encode()


def _by_bytes(table: Iterable[bytes | None]) -> tuple[list[bytes], list[int]]:
    pairs = sorted((word, token) for token, word in enumerate(table) if word)
    return [word for word, _ in pairs], [token for _, token in pairs]


def split_utf8(data: bytes) -> tuple[str, bytes]:
    """The longest prefix that is UTF-8, as text, and what is left."""
    try:
        return data.decode(), b""
    except UnicodeDecodeError as error:
        return data[: error.start].decode(), data[error.start :]


def _after(prefix: bytes) -> bytes | None:
    """The smallest byte string that is larger than everything that begins with `prefix`."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else None


def _byte_alphabet() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte: itself where it is printable, else a character from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {**{byte: chr(byte) for byte in printable}, **{byte: chr(256 + i) for i, byte in enumerate(others)}}


_BYTE_TO_CHAR = _byte_alphabet()
_CHAR_TO_BYTE = {character: byte for byte, character in _BYTE_TO_CHAR.items()}
