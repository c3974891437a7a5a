"""The playground over REST: real models in a real child, streamed, stopped, idle, killed, refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import psutil
import pytest
import torch

from opd.chat_jobs import Chats
from opd.store.chats import read_chat
from opd.store.files import read_json
from opd.store.runs import RunFolder, RunStore
from studio_in_tests import Client, config, open_studio, until
from tokenizers_in_tests import byte_level, model_for
from trained_run import a_run, dividing_by

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("warm_interpreters")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    tokenizer = dividing_by("qwen2", byte_level("one_digit"))
    model = model_for(tokenizer)
    run = a_run(tmp_path_factory.mktemp("data"), model, tokenizer)
    with torch.no_grad():  # learnt so much that it answers differently
        for parameter in model.parameters():
            parameter.neg_()
    model.save_pretrained(run.student_path)
    run.end("done", step=4)
    return run


@pytest.fixture(scope="module")
def client(trained: RunFolder) -> Iterator[Client]:
    with open_studio(trained.path.parents[1]) as client:
        yield client


def address(run: RunFolder) -> str:
    return f"/api/runs/{run.run_id}/chat"


def opened(client: Client, run: RunFolder) -> dict[str, Any]:
    """Open it and wait until every model is loaded."""
    assert client.send_json("POST", address(run), {}).status_code == 200

    def look() -> dict[str, Any] | None:
        chat = client.get(address(run)).json()
        assert chat["state"] == "open", chat
        return chat if chat["voices"] and all(v["state"] == "ready" for v in chat["voices"]) else None

    found: dict[str, Any] = until(look, "the models", 120)
    return found


def ask(client: Client, run: RunFolder, who: str, text: str = "2+3?", **more: Any) -> list[dict[str, Any]]:
    body = {"who": who, "messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 6, **more}
    answer = client.send_json("POST", f"{address(run)}/ask", body)
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line)["piece"] for line in answer.text.splitlines()]


def child_of(run: RunFolder) -> psutil.Process:
    kept = read_json(run.path / "chat.json")
    assert isinstance(kept, dict)
    return psutil.Process(kept["process"]["pid"])


def test_the_student_before_and_after_and_its_teacher_answer_the_same_question(
    client: Client, trained: RunFolder
) -> None:
    assert client.get(address(trained)).json()["state"] == "closed"
    assert client.send_json("POST", f"{address(trained)}/ask", {"who": "student", "messages": []}).status_code == 422
    turn = {"role": "user", "content": "2+3?"}
    early = client.send_json("POST", f"{address(trained)}/ask", {"who": "student", "messages": [turn]})
    assert early.status_code == 404, "nothing is open yet"

    chat = opened(client, trained)
    assert [voice["who"] for voice in chat["voices"]] == ["student", "start", "teacher"]
    assert (chat["temperature"], chat["max_tokens"], chat["no_teacher"]) == (1.0, 8, "")
    child = child_of(trained)
    client.send_json("POST", address(trained), {})
    assert child_of(trained) == child, "opening it again starts nothing"

    answers = {}
    for who in ("student", "start", "teacher"):
        *texts, end = ask(client, trained, who)
        assert end["type"] == "end"
        assert 1 <= end["num_tokens"] <= 6
        answers[who] = "".join(piece["text"] for piece in texts)
    assert answers["start"] == answers["teacher"], "here they are one model, asked greedily"
    assert answers["student"] != answers["start"]

    (refused,) = ask(client, trained, "student", max_tokens=131_072)
    assert refused["error"]["code"] == "context_length_exceeded"
    assert refused["error"]["hint"]

    assert client.send_json("DELETE", address(trained), {}).json()["state"] == "closed"
    assert not child.is_running()


def test_only_the_studio_knows_the_way_to_the_models(trained: RunFolder) -> None:
    chats = Chats()
    chats.open(trained)
    until(lambda: (record := read_chat(trained)) and record.port, "the port", 120)
    line = chats.line(trained)
    stranger = httpx2.get(f"{line.address}/student/v1/models", trust_env=False)
    assert stranger.status_code in (401, 503)
    until(lambda: httpx2.get(f"{line.address}/student/v1/models", trust_env=False).status_code == 401, "the student")
    written = "".join((trained.path / name).read_text() for name in ("chat.json", "chat.log"))
    assert line.token not in written
    assert line.token not in " ".join(child_of(trained).cmdline())
    chats.close()


def test_models_that_nobody_asks_are_let_go_and_a_killed_process_says_so(trained: RunFolder) -> None:
    chats = Chats(idle_s=0.2)
    chats.open(trained)
    until(lambda: (record := read_chat(trained)) and record.end == "idle", "the end of an idle conversation", 120)
    child = child_of(trained)
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "its process's end", 30)

    chats = Chats()
    chats.open(trained)
    child_of(trained).kill()

    def failed() -> str | None:
        record = read_chat(trained)
        return record.error.code if record and record.error else None

    assert until(failed, "the record of a killed process", 30) == "chat_interrupted"
    chats.close()


def test_what_cannot_be_talked_to_says_why(client: Client, trained: RunFolder) -> None:
    empty = RunStore(trained.path.parents[1]).create(config(), "without-student")
    empty.end("failed", step=0)
    refusal = client.send_json("POST", address(empty), {})
    assert refusal.status_code == 404
    assert "no finished student" in refusal.json()["error"]["message"]
    assert client.send_json("POST", "/api/runs/nope/chat", {}).status_code == 404
