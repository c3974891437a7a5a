"""The endpoint over real HTTP with a tiny real model: OpenAI's shapes, vLLM's scores."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from opd.serving.engine import Engine, ScoreJob, WriteJob, score_batch
from opd.serving.loading import ServedModel
from opd.serving.writing import write_batch
from opd.teachers.base import AnswerSampling, Rollouts
from opd.teachers.scoring_server import ScoringServer
from opd.training.decoding import generate
from serving.asking import chat, complete, law, post

# --- answers -------------------------------------------------------------------------------------


def test_the_list_of_models(address: str) -> None:
    (entry,) = httpx2.get(address + "/models").json()["data"]
    assert (entry["id"], entry["object"], entry["max_model_len"]) == ("tiny", "model", 512)
    assert httpx2.get(address + "/models/tiny").json() == entry
    assert httpx2.get(address + "/models/other").status_code == 404
    assert httpx2.get(address.removesuffix("/v1") + "/health").json() == {"status": "ok"}


def test_a_chat_answer(address: str, served: ServedModel) -> None:
    answer = chat(address, return_token_ids=True)
    (choice,) = answer["choices"]
    ids = choice["token_ids"]
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "tiny"
    prompt = served.tokenizer.apply_chat_template(
        [{"role": "user", "content": "2+2?"}], add_generation_prompt=True, tokenize=True, return_dict=False
    )
    assert answer["prompt_token_ids"] == prompt
    assert choice["message"] == {
        "role": "assistant",
        "content": served.tokenizer.decode(ids, skip_special_tokens=True),
        "refusal": None,
    }
    assert choice["finish_reason"] == ("stop" if ids[-1] in served.eos_ids else "length")
    assert answer["usage"]["prompt_tokens"] == len(prompt)
    assert answer["usage"]["completion_tokens"] == len(ids) <= 12
    assert answer["usage"]["total_tokens"] == len(prompt) + len(ids)


def test_equal_seed_equal_text_and_temperature_zero_is_greedy(address: str, served: ServedModel) -> None:
    def text(**changes: Any) -> str:
        return str(chat(address, **changes)["choices"][0]["message"]["content"])

    assert text(seed=7) == text(seed=7)
    assert len({text(seed=seed) for seed in range(6)}) > 1
    greedy = complete(address, temperature=0, max_tokens=8, return_token_ids=True)["choices"][0]["token_ids"]
    (expected,) = generate(
        served.model, [[5, 6, 7]], seeds=[0], max_new_tokens=8, eos_ids=served.eos_ids, pad_id=0, temperature=0
    )
    assert tuple(greedy) == expected.ids


def test_several_completions_of_several_prompts(address: str) -> None:
    answer = complete(address, prompt=[[5, 6, 7], [8, 9]], n=3, max_tokens=6)
    assert [choice["index"] for choice in answer["choices"]] == list(range(6))
    assert answer["usage"]["prompt_tokens"] == 5
    assert len({choice["text"] for choice in answer["choices"]}) > 2


def test_stopping_before_a_text(address: str) -> None:
    whole = complete(address, max_tokens=40)["choices"][0]["text"]
    stop = whole[len(whole) // 2 : len(whole) // 2 + 2]
    cut = complete(address, max_tokens=40, stop=[stop, ""])["choices"][0]
    assert cut["text"] == whole[: whole.index(stop)]
    assert (cut["finish_reason"], cut["stop_reason"]) == ("stop", stop)


def test_a_prompt_as_text_and_nothing_to_write(address: str, served: ServedModel) -> None:
    answer = complete(address, prompt="total 12", max_tokens=0, return_token_ids=True)
    assert answer["choices"][0]["prompt_token_ids"] == served.tokenizer("total 12")["input_ids"]
    assert answer["choices"][0]["text"] == ""
    assert answer["usage"]["completion_tokens"] == 0


@pytest.mark.parametrize("n", [1, 2])
def test_a_stream_is_the_answer_in_pieces(address: str, n: int) -> None:
    whole = chat(address, n=n, max_tokens=40)
    body = {"model": "tiny", "messages": [{"role": "user", "content": "2+2?"}], "max_tokens": 40, "seed": 5, "n": n}
    answer = post(address, "/chat/completions", {**body, "stream": True, "stream_options": {"include_usage": True}})
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    assert chunks[-1]["usage"] == whole["usage"]
    for index in range(n):
        mine = [c["choices"][0] for c in chunks[:-1] if c["choices"][0]["index"] == index]
        assert mine[0]["delta"]["role"] == "assistant"
        text = "".join(choice["delta"].get("content", "") for choice in mine)
        assert text == whole["choices"][index]["message"]["content"]
        assert mine[-1]["finish_reason"] == whole["choices"][index]["finish_reason"]
        assert all(choice["finish_reason"] is None for choice in mine[:-1])


def test_a_streamed_completion_holds_back_what_may_become_a_stop_string(address: str) -> None:
    whole = complete(address, max_tokens=40)["choices"][0]["text"]
    stop = whole[10:14]
    answer = post(
        address,
        "/completions",
        {"model": "tiny", "prompt": [5, 6, 7], "seed": 5, "max_tokens": 40, "stop": stop, "stream": True},
    )
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    chunks = [json.loads(line) for line in lines[:-1]]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == whole[: whole.index(stop)]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_the_openai_client_understands_it(address: str) -> None:
    from openai import OpenAI

    client = OpenAI(base_url=address, api_key="none", max_retries=0)
    assert [model.id for model in client.models.list()] == ["tiny"]
    answer = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "2+2?"}], max_tokens=12, seed=5
    )
    assert answer.choices[0].message.content == chat(address)["choices"][0]["message"]["content"]
    stream = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "2+2?"}], max_tokens=12, seed=5, stream=True
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert "".join(pieces) == answer.choices[0].message.content


# --- scores --------------------------------------------------------------------------------------


def test_prompt_logprobs_are_the_models_own(address: str, served: ServedModel) -> None:
    ids = [5, 600, 7, 8, 350]
    (choice,) = complete(address, prompt=ids, max_tokens=1, prompt_logprobs=4, return_token_ids=True)["choices"]
    entries, truth = choice["prompt_logprobs"], law(served, ids)
    assert choice["prompt_token_ids"] == ids
    assert entries[0] is None
    assert len(entries) == len(ids)
    for place in range(1, len(ids)):
        entry, expected = entries[place], truth[place - 1]
        assert set(map(int, entry)) == {ids[place], *expected.topk(4).indices.tolist()}
        for token, found in entry.items():
            assert found["logprob"] == pytest.approx(expected[int(token)].item(), abs=1e-4)
            assert found["rank"] == (expected > expected[int(token)]).sum().item() + 1
            assert found["decoded_token"] == served.tokenizer.decode([int(token)])


def test_prompt_logprobs_of_the_tokens_alone(address: str) -> None:
    (choice,) = complete(address, prompt=[5, 6, 7], max_tokens=0, prompt_logprobs=0)["choices"]
    assert [entry and list(entry) for entry in choice["prompt_logprobs"]] == [None, ["6"], ["7"]]


def test_echo_with_logprobs(address: str, served: ServedModel) -> None:
    (choice,) = complete(address, prompt=[5, 6, 7], max_tokens=3, echo=True, logprobs=2, return_token_ids=True)[
        "choices"
    ]
    ids = [5, 6, 7, *choice["token_ids"]]
    truth, found = law(served, ids), choice["logprobs"]
    assert found["tokens"] == [served.tokenizer.decode([token]) for token in ids]
    assert found["token_logprobs"][0] is None
    expected = [truth[place, token].item() for place, token in enumerate(ids[1:])]
    assert found["token_logprobs"][1:] == pytest.approx(expected, abs=1e-4)
    assert found["text_offset"][0] == 0
    assert all(1 <= len(top) <= 2 for top in found["top_logprobs"][1:])
    (without,) = complete(address, prompt=[5, 6, 7], max_tokens=3, logprobs=2)["choices"]
    assert without["logprobs"]["token_logprobs"] == pytest.approx(expected[2:], abs=1e-4)


def test_it_is_a_teacher(address: str, served: ServedModel) -> None:
    """The scoring client, its checks and its proof of the offset included, against the real endpoint."""
    sent = Rollouts(((5, 6, 7), (9, 10)), ((8, 600, 11), (12, 13)))
    with ScoringServer(address, "tiny", top_k=20, sampling=AnswerSampling(max_tokens=8)) as teacher:
        signal = teacher.score(sent)
        (answer,) = teacher.answer([[{"role": "user", "content": "2+2?"}]])
        assert teacher.check_model()["max_logprobs"] >= 20
    for prompt, completion, row in zip(sent.prompts, sent.completions, signal.rows, strict=True):
        truth = law(served, [*prompt, *completion])[len(prompt) - 1 : -1]
        for place, token in enumerate(completion):
            assert row.observed[place] == pytest.approx(truth[place, token].item(), abs=1e-4)
            known = row.ids[place] >= 0
            assert set(truth[place].topk(20).indices.tolist()) <= set(row.ids[place][known].tolist())
            assert row.logprobs[place][known] == pytest.approx(truth[place][row.ids[place][known]].tolist(), abs=1e-4)
    assert answer.finish_reason in {"stop", "length"}
    assert 1 <= answer.usage.output_tokens <= 8


def test_many_at_once_get_the_same_as_alone(address: str, served: ServedModel) -> None:
    prompts = [[5 + i, 6, 7 + i][: 1 + i % 3] for i in range(24)]

    def ask(prompt: list[int]) -> tuple[list[int], Any]:
        (choice,) = complete(address, prompt=prompt, max_tokens=10, prompt_logprobs=2, return_token_ids=True)["choices"]
        return choice["token_ids"], choice["prompt_logprobs"]

    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(ask, prompts))
    for prompt, (ids, entries) in zip(prompts, together, strict=True):
        alone_ids, alone_entries = ask(prompt)
        assert ids == alone_ids
        for entry, alone in zip(entries[1:], alone_entries[1:], strict=True):
            assert {t: round(v["logprob"], 3) for t, v in entry.items()} == {
                t: round(v["logprob"], 3) for t, v in alone.items()
            }


def test_waiting_requests_are_done_together(served: ServedModel) -> None:
    """While the engine is busy, those behind it gather; then one batch takes them all."""
    engine = Engine(served)
    started, gate = threading.Event(), threading.Event()

    def hold(_: str) -> None:
        started.set()
        gate.wait(10)

    first = WriteJob([5, 6], max_tokens=2, on_text=hold)
    engine.submit(first)
    assert started.wait(10)
    sizes: list[int] = []
    run = engine._run
    engine._run = lambda batch: (sizes.append(len(batch)), run(batch))[1]  # type: ignore[method-assign]  # only counts
    jobs = [ScoreJob([5, 6, 7 + i], 3) for i in range(8)]
    for job in jobs:
        engine.submit(job)
    gate.set()
    found = [job.future.result(20) for job in jobs]
    engine.close()
    assert sizes == [8]
    for job, scores in zip(jobs, found, strict=True):
        (alone,) = score_batch(served, [(job.ids, 3)])
        assert scores.observed == pytest.approx(alone.observed, abs=1e-4)


def test_a_batch_of_different_temperatures_is_refused(served: ServedModel) -> None:
    with pytest.raises(ValueError, match="one temperature"):
        write_batch(served, [WriteJob([5], 2), WriteJob([5], 2, temperature=0.5)])
