"""Answers as each kind of server writes them down, letter by letter, and what is read from them: the same for all."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from opd.teachers.dialects import DIALECTS, Scored

SENT = (5, 6, 7)
WORDS = {5: "The", 6: " cat", 7: " sat", 9: " dog"}
# The second token has -0.5 and another one stands above it; the third is the likeliest itself.
ANSWERS = {
    "vllm": """{"id": "cmpl-1", "object": "text_completion", "created": 1764000000, "model": "t",
        "choices": [{"index": 0, "text": " on", "logprobs": null, "finish_reason": "length", "stop_reason": null,
        "token_ids": [8], "prompt_logprobs": [null,
          {"6": {"logprob": -1.5, "rank": 2, "decoded_token": " cat"},
           "9": {"logprob": -0.5, "rank": 1, "decoded_token": " dog"}},
          {"7": {"logprob": -0.25, "rank": 1, "decoded_token": " sat"},
           "9": {"logprob": -3.0, "rank": 2, "decoded_token": " dog"}}],
        "prompt_token_ids": [5, 6, 7]}],
        "usage": {"prompt_tokens": 3, "total_tokens": 4, "completion_tokens": 1, "prompt_tokens_details": null}}""",
    "sglang": """{"text": "", "output_ids": [], "meta_info": {"id": "a",
        "finish_reason": {"type": "length", "length": 0},
        "prompt_tokens": 3, "completion_tokens": 0, "cached_tokens": 0,
        "input_token_logprobs": [[null, 5, null], [-1.5, 6, null], [-0.25, 7, null]],
        "input_top_logprobs": [null, [[-0.5, 9, null], [-1.5, 6, null]], [[-0.25, 7, null], [-3.0, 9, null]]]}}""",
    "fireworks": """{"id": "b", "object": "text_completion", "model": "t",
        "choices": [{"index": 0, "text": "The cat sat on", "finish_reason": "length", "logprobs": {"content": [
          {"token": "The", "logprob": 0.0, "token_id": 5, "text_offset": 0, "top_logprobs": []},
          {"token": " cat", "logprob": -1.5, "token_id": 6, "text_offset": 3, "top_logprobs": [
            {"token": " dog", "logprob": -0.5, "token_id": 9}, {"token": " cat", "logprob": -1.5, "token_id": 6}]},
          {"token": " sat", "logprob": -0.25, "token_id": 7, "text_offset": 7, "top_logprobs": [
            {"token": " sat", "logprob": -0.25, "token_id": 7}, {"token": " dog", "logprob": -3.0, "token_id": 9}]},
          {"token": " on", "logprob": -0.1, "token_id": 8, "text_offset": 11, "top_logprobs": []}]}}],
        "usage": {"prompt_tokens": 3, "total_tokens": 4, "completion_tokens": 1}}""",
    "together": """{"id": "c", "object": "text.completion", "model": "t",
        "prompt": [{"text": "The cat sat", "logprobs": {"tokens": ["The", " cat", " sat"], "token_ids": [5, 6, 7],
          "token_logprobs": [null, -1.5, -0.25],
          "top_logprobs": [null, {" dog": -0.5, " cat": -1.5}, {" sat": -0.25, " dog": -3.0}]}}],
        "choices": [{"index": 0, "text": " on", "finish_reason": "length"}],
        "usage": {"prompt_tokens": 3, "total_tokens": 4, "completion_tokens": 1}}""",
}


class Words:
    """See `TokenTexts`."""

    def text_of(self, ids: Sequence[int]) -> str:
        return "".join(WORDS[token] for token in ids)

    def id_of(self, text: str) -> int | None:
        return next((token for token, word in WORDS.items() if word == text), None)


def read(dialect: str, answer: str) -> Scored:
    return DIALECTS[dialect].read(json.loads(answer), SENT, Words())  # type: ignore[index]  # one of them


@pytest.mark.parametrize("dialect", ANSWERS)
def test_an_answer_is_read_as_it_stands(dialect: str) -> None:
    scored = read(dialect, ANSWERS[dialect])
    assert scored.ids == [5, 6, 7]
    assert scored.observed == [None, -1.5, -0.25]
    assert scored.listed[0] in (None, [])
    assert scored.listed[1:] == [[(9, -0.5), (6, -1.5)], [(7, -0.25), (9, -3.0)]]
    assert scored.model == (None if dialect == "sglang" else "t")
    assert scored.usage.input_tokens == 3
    assert scored.usage.output_tokens == (0 if dialect == "sglang" else 1)


def test_texts_that_come_back_without_ids_are_brought_to_tokens() -> None:
    answer = ANSWERS["together"].replace('"token_ids": [5, 6, 7],', "").replace('" dog": -3.0', '" hound": -3.0')
    scored = read("together", answer)
    assert scored.ids == [5, 6, 7]
    assert scored.listed[2] is not None
    assert scored.listed[2][1][0] < 0, "a text that is no token keeps its place under a number that no token has"
