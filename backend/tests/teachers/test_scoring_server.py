"""One client against servers of four dialects: exact requests, exact numbers, and every fault by its name."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fake_servers import MODEL, Brain, fake_server
from loopback import serving
from opd.config import ServerTeacher
from opd.errors import TeacherError
from opd.teachers.base import (
    AnswerSampling,
    FewerListedError,
    NoScoresError,
    OtherIdsError,
    OtherModelError,
    RetokenisedError,
    Rollouts,
    ShiftedError,
    TruncatedError,
)
from opd.teachers.http import Policy
from opd.teachers.http_replies import KeyRefusedError, NotUnderstoodError, OverloadedError
from opd.teachers.scoring_server import ScoringServer
from opd.teachers.token_texts import TokenizerTexts
from tokenizers_in_tests import byte_level, corpus, model_for

DIALECTS = ["vllm", "sglang", "fireworks", "together"]
BY_IDS = ["vllm", "sglang", "fireworks"]
NUM_TEXTS = 200


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return byte_level("three_digits", 900, 1)


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> Any:
    return model_for(tokenizer, seed=3)


@pytest.fixture
def brain(model: Any, tokenizer: Any) -> Brain:
    return Brain(model, tokenizer)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(stack: ExitStack, dialect: str, brain: Brain, **changes: Any) -> ScoringServer:
    address = stack.enter_context(serving(fake_server(dialect, brain)))
    settings: dict[str, Any] = {
        "dialect": dialect,
        "top_k": 5,
        "policy": Policy(max_attempts=2, timeout_s=60),
        "texts": TokenizerTexts.of(brain.tokenizer),
        "vocab_size": len(brain.tokenizer),
        **changes,
    }
    return stack.enter_context(ScoringServer(address + "/v1", MODEL, **settings))


def rollouts(tokenizer: Any, num: int, seed: int = 5) -> Rollouts:
    """Prompts through the template, completions of many lengths, an end token at most."""
    chooser = random.Random(seed)
    prompts, completions = [], []
    for line in corpus(num, seed):
        messages = [{"role": "user", "content": line.split(":")[0]}]
        prompts.append(
            tuple(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False))
        )
        ids = tokenizer(line, add_special_tokens=False)["input_ids"]
        end = [tokenizer.convert_tokens_to_ids("<|im_end|>")] if chooser.random() < 0.8 else []
        completions.append((*ids[: chooser.randrange(2, len(ids) + 1)], *end))
    return Rollouts(tuple(prompts), tuple(completions))


def random_ids(tokenizer: Any, num: int, seed: int = 6) -> Rollouts:
    """Sequences that no text would be divided into: what a server that reads them as text gets wrong."""
    chooser = random.Random(seed)
    rows = [[chooser.randrange(len(tokenizer)) for _ in range(chooser.randrange(6, 40))] for _ in range(num)]
    return Rollouts(tuple(tuple(row[:4]) for row in rows), tuple(tuple(row[4:]) for row in rows))


def truth(model: Any, prompt: tuple[int, ...], completion: tuple[int, ...]) -> torch.Tensor:
    """Log-laws before each completion token, in process."""
    with torch.inference_mode():
        logits = model(torch.tensor([[*prompt, *completion]])).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits.double(), -1)


# --- golden requests -----------------------------------------------------------------------------

GOLDEN_REQUESTS: dict[str, dict[str, Any]] = {
    "vllm": {
        "model": MODEL,
        "prompt": [5, 6, 7, 8],
        "max_tokens": 1,
        "temperature": 1.0,
        "prompt_logprobs": 5,
        "return_token_ids": True,
    },
    "sglang": {
        "input_ids": [5, 6, 7, 8],
        "sampling_params": {"temperature": 1.0, "max_new_tokens": 0},
        "return_logprob": True,
        "logprob_start_len": 0,
        "top_logprobs_num": 5,
    },
    "fireworks": {
        "model": MODEL,
        "prompt": [5, 6, 7, 8],
        "max_tokens": 1,
        "temperature": 1.0,
        "echo": True,
        "logprobs": True,
        "top_logprobs": 5,
        "return_token_ids": True,
    },
}


@pytest.mark.parametrize("dialect", BY_IDS)
def test_the_request_is_exactly_this(stack: ExitStack, brain: Brain, dialect: str) -> None:
    connect(stack, dialect, brain).score(Rollouts(((5, 6),), ((7, 8),)))
    assert brain.asked[-1] == GOLDEN_REQUESTS[dialect]


def test_together_is_sent_the_text_with_its_special_tokens(stack: ExitStack, brain: Brain, tokenizer: Any) -> None:
    sent = rollouts(tokenizer, 1)
    connect(stack, "together", brain).score(sent)
    text = tokenizer.decode([*sent.prompts[0], *sent.completions[0]])
    assert "<|im_start|>assistant" in text
    assert brain.asked[-1] == {
        "model": MODEL, "prompt": text, "max_tokens": 1, "temperature": 1.0, "echo": True, "logprobs": 5,
    }  # fmt: skip


# --- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_two_hundred_sequences_agree_with_the_model_in_process(
    stack: ExitStack, brain: Brain, tokenizer: Any, dialect: str
) -> None:
    sent = rollouts(tokenizer, NUM_TEXTS) if dialect == "together" else random_ids(tokenizer, NUM_TEXTS)
    signal = connect(stack, dialect, brain).score(sent)
    assert signal.kind == "topk_logprobs"
    assert signal.num_calls == NUM_TEXTS
    assert signal.usage.input_tokens == sum(
        len(p) + len(c) for p, c in zip(sent.prompts, sent.completions, strict=True)
    )
    for prompt, completion, row in zip(sent.prompts, sent.completions, signal.rows, strict=True):
        laws = truth(brain.model, prompt, completion)
        tokens = torch.tensor(completion)
        np.testing.assert_allclose(row.observed, laws.gather(-1, tokens.unsqueeze(-1)).squeeze(-1), rtol=0, atol=1e-4)
        for place, law in enumerate(laws):
            known = row.ids[place] >= 0
            ids = row.ids[place][known]
            np.testing.assert_allclose(row.logprobs[place][known], law[ids], rtol=0, atol=1e-4)
            assert completion[place] in ids
            if dialect != "together":  # there, halves of characters have one text and are left out
                assert set(law.topk(5).indices.tolist()) <= set(ids.tolist())
            assert np.isneginf(row.logprobs[place][~known]).all()


@pytest.mark.parametrize("dialect", BY_IDS)
def test_the_observed_token_alone(stack: ExitStack, brain: Brain, dialect: str) -> None:
    signal = connect(stack, dialect, brain, top_k=0).score(Rollouts(((5, 6),), ((7, 8, 9),)))
    assert signal.kind == "token_logprobs"
    law = truth(brain.model, (5, 6), (7, 8, 9))
    np.testing.assert_allclose(signal.rows[0].observed, [law[0, 7], law[1, 8], law[2, 9]], rtol=0, atol=1e-4)
    assert signal.rows[0].ids.shape == (3, 1)


def test_k_stays_within_what_the_dialect_allows(stack: ExitStack, brain: Brain) -> None:
    server = connect(stack, "fireworks", brain, top_k=20)
    server.score(Rollouts(((5, 6),), ((7, 8),)))
    assert server.top_k == brain.asked[-1]["top_logprobs"] == 5


def test_together_without_ids_in_its_answer(stack: ExitStack, brain: Brain, tokenizer: Any) -> None:
    brain.extra["texts_only"] = True
    sent = rollouts(tokenizer, 5)
    signal = connect(stack, "together", brain).score(sent)
    for prompt, completion, row in zip(sent.prompts, sent.completions, signal.rows, strict=True):
        laws = truth(brain.model, prompt, completion)
        np.testing.assert_allclose(row.observed, laws[range(len(completion)), list(completion)], rtol=0, atol=1e-4)


def test_an_empty_completion_asks_nothing(stack: ExitStack, brain: Brain) -> None:
    signal = connect(stack, "vllm", brain).score(Rollouts(((5, 6), (5, 6)), ((7, 8), ())))
    assert [len(row.observed) for row in signal.rows] == [2, 0]
    assert signal.num_calls == 1


# --- faults --------------------------------------------------------------------------------------

FAULTS: dict[str, type[TeacherError]] = {
    "retokenises": RetokenisedError,
    "truncates": TruncatedError,
    "other_ids": OtherIdsError,
    "shifted_late": ShiftedError,
    "shifted_early": ShiftedError,
    "all_shifted_late": ShiftedError,
    "all_shifted_early": ShiftedError,
    "caps_k": FewerListedError,
    "other_model": OtherModelError,
    "no_scores": NoScoresError,
    "busy": OverloadedError,
}


# SGLang's scores name no model; its list of models does (see below).
CASES = [(dialect, fault) for dialect in DIALECTS for fault in FAULTS if (dialect, fault) != ("sglang", "other_model")]


@pytest.mark.parametrize(("dialect", "fault"), CASES)
def test_each_fault_has_its_name_and_a_way_out(
    stack: ExitStack, brain: Brain, tokenizer: Any, dialect: str, fault: Any
) -> None:
    faulty = replace(brain, fault=fault)
    policy = Policy(max_attempts=1, timeout_s=60)
    top_k = 8 if dialect == "together" else 5
    server = connect(stack, dialect, faulty, policy=policy, top_k=top_k)
    with pytest.raises(FAULTS[fault]) as caught:
        server.score(rollouts(tokenizer, 4))
    assert caught.value.hint
    assert caught.value.code != TeacherError.code


def test_faults_have_different_codes() -> None:
    named = {error.code for error in FAULTS.values()}
    assert len(named) == len(set(FAULTS.values()))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_list_of_models_shows_another_model(stack: ExitStack, brain: Brain, dialect: str) -> None:
    assert connect(stack, dialect, brain).check_model()["max_model_len"] == 512
    with pytest.raises(OtherModelError, match="somebody-else"):
        connect(stack, dialect, replace(brain, fault="other_model")).check_model()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_wrong_key(stack: ExitStack, brain: Brain, tokenizer: Any, dialect: str) -> None:
    locked = replace(brain, key="sk-the-right-one")
    with pytest.raises(KeyRefusedError):
        connect(stack, dialect, locked, key="sk-a-wrong-one").score(rollouts(tokenizer, 1))
    connect(stack, dialect, locked, key="sk-the-right-one").score(rollouts(tokenizer, 1))


def test_another_dialect_is_not_understood(stack: ExitStack, brain: Brain) -> None:
    address = stack.enter_context(serving(fake_server("fireworks", brain)))
    server = stack.enter_context(ScoringServer(address + "/v1", MODEL, dialect="vllm", policy=Policy(max_attempts=1)))
    with pytest.raises(TeacherError):
        server.score(Rollouts(((5, 6),), ((7, 8),)))
    sglang = stack.enter_context(serving(fake_server("sglang", brain)))
    server = stack.enter_context(ScoringServer(sglang + "/v1", MODEL, policy=Policy(max_attempts=1)))
    with pytest.raises(TeacherError):
        server.score(Rollouts(((5, 6),), ((7, 8),)))


def test_together_needs_the_tokenizer(stack: ExitStack, brain: Brain) -> None:
    with pytest.raises(NotUnderstoodError, match=r"tokenizer") as caught:
        connect(stack, "together", brain, texts=None).score(Rollouts(((5, 6),), ((7, 8),)))
    assert "teacher.tokenizer" in caught.value.hint


def test_a_server_that_comes_back_is_asked_again(stack: ExitStack, brain: Brain) -> None:
    faulty = replace(brain, fault="busy")

    class Recovers:
        def __init__(self) -> None:
            self.num = 0

        async def __call__(self, seconds: float) -> None:
            self.num += 1
            faulty.fault = ""

    server = connect(stack, "vllm", faulty)
    waits = Recovers()
    server._http._sleep = waits
    server.score(Rollouts(((5, 6),), ((7, 8),)))
    assert waits.num >= 1


# --- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_its_own_answers(stack: ExitStack, brain: Brain, dialect: str) -> None:
    server = connect(stack, dialect, brain, sampling=AnswerSampling(temperature=0.7, max_tokens=32, seed=4))
    answers = server.answer([[{"role": "user", "content": "2+2?"}], [{"role": "user", "content": "refuse"}]])
    assert (answers[0].text, answers[0].finish_reason, answers[0].usage.output_tokens) == ("4", "stop", 1)
    assert (answers[1].finish_reason, answers[1].refusal) == ("refusal", "I would rather not.")
    asked = next(body for body in brain.asked if body["messages"][-1]["content"] == "2+2?")
    assert asked == {
        "model": MODEL,
        "messages": [{"role": "user", "content": "2+2?"}],
        "temperature": 0.7,
        "top_p": 1.0,
        "max_tokens": 32,
        "seed": 4,
    }


def test_from_a_configuration(stack: ExitStack, brain: Brain) -> None:
    address = stack.enter_context(serving(fake_server("sglang", brain)))
    config = ServerTeacher(base_url=address, model=MODEL, dialect="sglang", max_concurrency=2)
    server = stack.enter_context(ScoringServer.from_config(config, top_k=7))
    assert server.score(Rollouts(((5, 6),), ((7, 8),))).rows[0].ids.shape[1] >= 7


def test_rollouts_must_make_sense() -> None:
    with pytest.raises(ValueError, match="1 prompts and 2 completions"):
        Rollouts(((1,),), ((2,), (3,)))
    with pytest.raises(ValueError, match="without tokens"):
        Rollouts(((),), ((2,),))
