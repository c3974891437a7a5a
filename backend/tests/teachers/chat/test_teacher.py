"""The official SDKs against a server on loopback that answers in both wire formats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request

from loopback import serving
from opd.config import ChatTeacher
from opd.errors import BudgetReachedError
from opd.store.money import Ledger, audit
from opd.teachers.base import AnswerSampling, NoScoresError, Rollouts
from opd.teachers.chat import Ask, ChatApi, Purse, price_of

KEY = "sk-canary-0123456789"
MODELS = ("openai/gpt-4o-mini", "anthropic/claude-sonnet-4-6")


@dataclass
class Echo:
    """Repeats the question in capitals, in the form of either API."""

    url: str = ""
    seen: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/v1/chat/completions")
        async def chat(request: Request) -> dict[str, Any]:
            body = await self._take(request)
            message = {"role": "assistant", "content": body["messages"][-1]["content"].upper()}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
            return {"id": "x", "object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage}

        @app.post("/v1/messages")
        async def messages(request: Request) -> dict[str, Any]:
            body = await self._take(request)
            text = {"type": "text", "text": body["messages"][-1]["content"].upper()}
            usage = {"input_tokens": 9, "output_tokens": 3}
            facts = {"id": "x", "type": "message", "role": "assistant", "model": body["model"]}
            return {**facts, "content": [text], "stop_reason": "end_turn", "usage": usage}

        return app

    async def _take(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = await request.json()
        self.seen.append((dict(request.headers), body))
        return body


@pytest.fixture
def echo() -> Iterator[Echo]:
    provider = Echo()
    with serving(provider.app()) as provider.url:
        yield provider


@pytest.fixture
def purse(tmp_path: Path) -> Iterator[Purse]:
    with Ledger(tmp_path / "money.db") as ledger:
        purse = Purse(ledger, "run-1")
        purse.cap(usd=1)
        yield purse
        assert audit(ledger) == []


def teacher(model: str, echo: Echo) -> ChatTeacher:
    return ChatTeacher(model=model, base_url=echo.url + ("" if model.startswith("anthropic") else "/v1"))


def question(text: str, *, sample: int = 0) -> Ask:
    return Ask(({"role": "user", "content": text},), AnswerSampling(max_tokens=10), sample=sample)


def api(model: str, echo: Echo, purse: Purse) -> ChatApi:
    config = teacher(model, echo)
    return ChatApi.from_config(config, price_of(config), purse=purse, key=KEY)


@pytest.mark.parametrize("model", MODELS)
def test_answers_come_in_order_and_are_paid_once(model: str, echo: Echo, purse: Purse) -> None:
    asks = [question(f"item {number}") for number in range(40)]
    with api(model, echo, purse) as chat:
        first = chat.ask(asks, stage="answers")
        spent = purse.meter().spent_nano_usd
        again = chat.ask(asks, stage="expansion")
    assert [answer.text for answer in first] == [f"ITEM {number}" for number in range(40)]
    assert [answer.text for answer in again] == [answer.text for answer in first]
    assert {(a.problem, a.finish_reason, a.from_cache) for a in first} == {(None, "stop", False)}
    assert all(answer.from_cache for answer in again)
    assert len(echo.seen) == 40
    meter = purse.meter()
    assert spent > 0
    assert (meter.spent_nano_usd, meter.saved_nano_usd, meter.held_nano_usd) == (spent, spent, 0)


def test_each_sample_is_a_question_of_its_own(echo: Echo, purse: Purse) -> None:
    with api(MODELS[0], echo, purse) as chat:
        chat.ask([question("same", sample=number) for number in (0, 1, 2, 1, 0)], stage="answers")
    assert sorted(body["seed"] for _, body in echo.seen) == [0, 1, 2]


@pytest.mark.parametrize(("model", "header"), [(MODELS[0], "authorization"), (MODELS[1], "x-api-key")])
def test_only_the_given_key_leaves(
    model: str, header: str, echo: Echo, purse: Purse, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENAI_ORG_ID"):
        monkeypatch.setenv(name, "canary-of-the-environment")
    for name in ("ANTHROPIC_CUSTOM_HEADERS", "OPENAI_CUSTOM_HEADERS"):
        monkeypatch.setenv(name, "x-secret: canary-of-the-environment")
    for name in ("ANTHROPIC_BASE_URL", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/stolen")
    with api(model, echo, purse) as chat:
        chat.ask([question("hello")], stage="answers")
    ((headers, _),) = echo.seen
    assert headers[header].endswith(KEY)
    assert "canary-of-the-environment" not in str(headers)
    assert str(headers).count(KEY) == 1


def test_a_system_message_and_the_limit_go_where_the_api_wants_them(echo: Echo, purse: Purse) -> None:
    messages = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"})
    asks = [Ask(messages, AnswerSampling(max_tokens=7, temperature=0.5))]
    for model in MODELS:
        with api(model, echo, purse) as chat:
            chat.ask(asks, stage="answers")
    (_, openai), (_, anthropic) = echo.seen
    assert (openai["messages"][0], openai["max_completion_tokens"]) == (messages[0], 7)
    assert (anthropic["system"], anthropic["max_tokens"], len(anthropic["messages"])) == ("Be brief.", 7, 1)
    assert openai["temperature"] == anthropic["temperature"] == 0.5
    assert "top_p" not in openai


def test_nothing_leaves_without_a_budget(echo: Echo, tmp_path: Path) -> None:
    with (
        Ledger(tmp_path / "money.db") as ledger,
        api(MODELS[0], echo, Purse(ledger, "run-2")) as chat,
        pytest.raises(BudgetReachedError),
    ):
        chat.ask([question("hello")], stage="answers")
    assert echo.seen == []


def test_it_does_not_pretend_to_score(echo: Echo, purse: Purse) -> None:
    with api(MODELS[0], echo, purse) as chat, pytest.raises(NoScoresError):
        chat.score(Rollouts(((1,),), ((2,),)))
