"""Tokens as bytes, for every family of tokenizer; and how given bytes are divided."""

from __future__ import annotations

from typing import Any

import pytest

from opd.errors import ModelMismatchError
from opd.objectives.alignment import TextCodec
from tiny import make_tokenizer
from tokenizers_in_tests import byte_level, corpus, sentence_pieces

FAMILIES = {
    "byte_level": lambda: byte_level("one_digit"),
    "byte_level_specials_last": lambda: byte_level("three_digits", 600, 1, True),
    "pieces": sentence_pieces,
    "pieces_without_leading_space": lambda: sentence_pieces(leading_space=False),
}


def codec_of(tokenizer: Any, padding: int = 0) -> TextCodec:
    eos = tokenizer.convert_tokens_to_ids("<|im_end|>")
    return TextCodec(tokenizer, vocab_size=len(tokenizer) + padding, eos_ids=[eos])


@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_of_a_response_spell_it(family: str) -> None:
    codec = codec_of(FAMILIES[family]())
    for line in corpus(50, seed=9):
        data = line.encode()
        ids = codec.encode(data, at_start=True)
        assert ids is not None
        words = [codec.table(place == 0)[token] for place, token in enumerate(ids)]
        assert b"".join(word for word in words if word is not None) == data


@pytest.mark.parametrize("family", FAMILIES)
def test_divides_text_as_the_tokenizer_itself_does(family: str) -> None:
    tokenizer = FAMILIES[family]()
    codec = codec_of(tokenizer)
    for line in corpus(50, seed=10):
        assert (
            list(codec.encode(line.encode(), at_start=True) or ())
            == tokenizer(line, add_special_tokens=False)["input_ids"]
        )


def test_only_a_response_begins_with_the_tokenizers_own_space() -> None:
    codec = codec_of(sentence_pieces())
    assert codec.leading_space
    start, inside = codec.encode(b"total", at_start=True), codec.encode(b"total")
    assert start is not None
    assert inside is not None
    assert codec.bytes_of[start[0]].startswith(b" ")  # type: ignore[union-attr]  # a piece of text
    assert not codec.bytes_of[inside[0]].startswith(b" ")  # type: ignore[union-attr]  # a piece of text
    assert not codec_of(sentence_pieces(leading_space=False)).leading_space
    assert not codec_of(byte_level("one_digit")).leading_space


@pytest.mark.parametrize("family", FAMILIES)
def test_text_that_spells_a_special_token_is_only_text(family: str) -> None:
    codec = codec_of(FAMILIES[family]())
    ids = codec.encode(b"a <|im_end|> b")
    assert ids is not None
    assert codec.eos_ids[0] not in ids
    assert b"".join(codec.bytes_of[token] or b"?" for token in ids) == b"a <|im_end|> b"


@pytest.mark.parametrize("family", ["byte_level", "pieces"])
def test_half_a_character_is_spelled_too(family: str) -> None:
    codec = codec_of(FAMILIES[family]())
    half = " 好".encode()[:-1]
    ids = codec.encode(half)
    assert ids is not None
    assert b"".join(codec.bytes_of[token] or b"?" for token in ids) == half


def test_special_tokens_and_padding_stand_for_no_text() -> None:
    tokenizer = byte_level("one_digit")
    codec = codec_of(tokenizer, padding=12)
    specials = [tokenizer.convert_tokens_to_ids(name) for name in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")]
    assert [token for token, word in enumerate(codec.bytes_of) if word is None] == [
        *sorted(specials),
        *range(len(tokenizer), len(tokenizer) + 12),
    ]


def test_prefix_ranges_hold_exactly_the_tokens_that_begin_so() -> None:
    codec = codec_of(byte_level("three_digits", 600, 1))
    for prefix in (b"1", b" t", b" tok", b"\xc3", b"\xff", b"zzz"):
        for strictly in (True, False):
            found = codec.sorted_ids(codec.extensions(prefix, strictly=strictly))
            truth = [
                token
                for token, word in enumerate(codec.bytes_of)
                if word and word.startswith(prefix) and (len(word) > len(prefix) or not strictly)
            ]
            assert sorted(found) == truth
        assert codec.exactly(prefix) == [t for t, word in enumerate(codec.bytes_of) if word == prefix]


def test_a_closed_alphabet_of_plain_pieces_is_understood() -> None:
    codec = codec_of(make_tokenizer())
    ids = codec.encode(b"Total: 12+30=42")
    assert ids is not None
    assert [codec.bytes_of[token] for token in ids[:3]] == [b"T", b"o", b"t"]
    assert codec.encode("ü".encode()) is None  # it has no token for it


def test_equal_tokenizers_have_equal_digests_and_only_they() -> None:
    first, again = codec_of(byte_level("one_digit")), codec_of(byte_level.__wrapped__("one_digit"))
    assert first.digest == again.digest
    others = [codec_of(FAMILIES[family]()) for family in FAMILIES if family != "byte_level"]
    assert len({codec.digest for codec in (first, *others)}) == 1 + len(others)


def test_a_tokenizer_that_changes_the_text_is_refused() -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1, "##b": 2, "<|im_end|>": 3}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.decoder = decoders.WordPiece()
    with pytest.raises(ModelMismatchError, match="drops spaces"):
        codec_of(PreTrainedTokenizerFast(tokenizer_object=backend))


def test_a_slow_tokenizer_is_refused() -> None:
    with pytest.raises(ModelMismatchError, match="not a fast tokenizer"):
        TextCodec(object(), vocab_size=4, eos_ids=[0])


def test_a_vocabulary_larger_than_the_model_is_refused() -> None:
    with pytest.raises(ModelMismatchError, match="only 100 outputs"):
        TextCodec(byte_level("one_digit"), vocab_size=100, eos_ids=[2])
