"""The demo's tokenizer: standard form, single digits, nothing lost, prompts short."""

import random

import pytest

from opd.demo.task import draw_question, questions_of, solve
from opd.demo.tokenizer import END, PAD, VOCABULARY_SIZE, build_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


def test_is_the_same_every_time(tokenizer) -> None:
    assert build_tokenizer().backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()


def test_saved_and_loaded_like_any_other(tokenizer, tmp_path) -> None:
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    conversation = [{"role": "system", "content": "Short."}, {"role": "user", "content": "Cloud 34, Ads 57. Total?"}]
    asked = loaded.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
    assert asked == (
        "<|im_start|>system\nShort.<|im_end|>\n"
        "<|im_start|>user\nCloud 34, Ads 57. Total?<|im_end|>\n<|im_start|>assistant\n"
    )
    answered = [*conversation, {"role": "assistant", "content": "=91"}]
    assert loaded.apply_chat_template(answered, tokenize=False) == asked + "=91<|im_end|>\n"
    assert loaded.padding_side == "left"
    assert (loaded.eos_token, loaded.pad_token) == (END, PAD)
    assert loaded.pad_token_id != loaded.eos_token_id


def test_any_text_survives(tokenizer) -> None:
    for text in ("4+7=11\n=91", "Umsatz: 34 Mio. €, +5,7 %", "数字 34\t\n\n 57", "  two  spaces "):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_every_digit_is_a_token_unless_numbers_are_left_whole(tokenizer) -> None:
    assert tokenizer.tokenize("1048") == ["1", "0", "4", "8"]
    assert len(tokenizer) <= VOCABULARY_SIZE
    whole = build_tokenizer(split_digits=False)
    assert any(len(token) > 1 and token.isdigit() for token in whole.get_vocab())
    assert len(whole.tokenize("Cloud 34, Ads 57. Total?")) < len(tokenizer.tokenize("Cloud 34, Ads 57. Total?"))


def test_prompts_and_answers_are_short(tokenizer) -> None:
    for question in questions_of("held_out"):
        message = [{"role": "user", "content": question.text}]
        prompt = tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
        assert len(tokenizer.encode(prompt, add_special_tokens=False)) <= 25
        assert len(tokenizer.encode(solve(question), add_special_tokens=False)) + 1 <= 25


def test_an_answer_in_pieces_has_the_tokens_of_the_whole(tokenizer) -> None:
    rng = random.Random(0)
    for _ in range(100):
        working = solve(draw_question("train", rng), rng)
        pieces = [token for character in working for token in tokenizer.encode(character, add_special_tokens=False)]
        assert pieces == tokenizer.encode(working, add_special_tokens=False)
