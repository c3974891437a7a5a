"""Whose key goes where, at which price, and what is said before a run; nothing is sent for any of it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from opd.config import ChatTeacher, RunConfig
from opd.errors import ConfigError, PriceUnknownError
from opd.jobs import needed_keys
from opd.pricing import Usage, price
from opd.teachers.base import AnswerSampling
from opd.teachers.chat import Ask, endpoint_of, price_of
from opd.teachers.chat.readiness import look
from studio_in_tests import config

TODAY = date(2026, 11, 27)
LOOPBACK = "http://127.0.0.1:11434/v1"


def run_config(teacher: dict[str, Any], **changes: Any) -> RunConfig:
    return config().model_copy(update={"teacher": ChatTeacher(**teacher), **changes})


@pytest.mark.parametrize(
    ("teacher", "origin", "key_name"),
    [
        ({"model": "openai/gpt-4o-mini"}, "https://api.openai.com", "openai"),
        ({"model": "anthropic/claude-3.5-sonnet"}, "https://api.anthropic.com", "anthropic"),
        ({"model": "gemini/gemini-2.5-flash"}, "https://generativelanguage.googleapis.com", "google"),
        ({"model": "openrouter/qwen/qwen3-32b"}, "https://openrouter.ai", "openrouter"),
        ({"model": "local/qwen3:8b", "base_url": LOOPBACK}, "http://127.0.0.1:11434", "local"),
        (
            {"model": "openai/gpt-4o-mini", "base_url": "https://stranger.example/v1"},
            "https://stranger.example",
            "local",
        ),
        ({"model": "openai/gpt-4o-mini", "base_url": "http://api.openai.com/v1"}, "http://api.openai.com", "local"),
    ],
)
def test_a_key_belongs_to_its_providers_own_address(teacher: dict[str, Any], origin: str, key_name: str) -> None:
    endpoint = endpoint_of(ChatTeacher(**teacher))
    assert (endpoint.origin, endpoint.key_name) == (origin, key_name)
    assert needed_keys(run_config(teacher))[0] == key_name


@pytest.mark.parametrize(
    "teacher",
    [
        {"model": "gpt-4o-mini"},
        {"model": "nobody/model"},
        {"model": "local/qwen3:8b"},
        {"model": "openai/gpt\n4"},
        {"model": "local/x", "base_url": "http://user:hunter2@127.0.0.1/v1"},
        {"model": "local/x", "base_url": "http://169.254.169.254/v1"},
    ],
)
def test_ids_and_addresses_that_mean_nothing_are_refused(teacher: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as refused:
        endpoint_of(ChatTeacher(**teacher))
    assert refused.value.hint
    assert "hunter2" not in str(refused.value)


def test_an_unknown_stale_or_ended_price_is_refused_unless_typed_or_capped_by_tokens() -> None:
    unknown, known = ChatTeacher(model="openai/gpt-99"), ChatTeacher(model="openai/gpt-4o-mini")
    for teacher, day in ((unknown, TODAY), (known, date(2027, 4, 1)), (known, date(2027, 1, 15))):
        with pytest.raises(PriceUnknownError):
            price_of(teacher, today=day)
        assert price_of(teacher, capped_by_tokens=True, today=day).price_id.startswith("no price")
    typed = ChatTeacher(model="openai/gpt-99", input_usd_per_million=1, output_usd_per_million=2)
    assert price(Usage(input_tokens=10, output_tokens=10), price_of(typed)) == 30_000


def test_without_a_price_one_token_is_one_nano_dollar() -> None:
    tokens = price_of(ChatTeacher(model="openai/gpt-99"), capped_by_tokens=True)
    assert (
        price(Usage(input_tokens=700, cached_input_tokens=100, output_tokens=300, reasoning_tokens=50), tokens) == 1000
    )


@pytest.mark.parametrize(
    ("teacher", "changes", "keys", "expected"),
    [
        ({"model": "openai/gpt-4o-mini"}, {"budget_usd": 2.0}, True, {"teacher": "ok", "price": "ok", "budget": "ok"}),
        ({"model": "openai/gpt-4o-mini"}, {}, True, {"teacher": "ok", "price": "ok", "budget": "fail"}),
        (
            {"model": "openai/gpt-4o-mini"},
            {"budget_usd": 2.0},
            False,
            {"teacher": "fail", "price": "ok", "budget": "ok"},
        ),
        ({"model": "openai/gpt-99"}, {"budget_tokens": 5000}, True, {"teacher": "ok", "price": "ok"}),
        ({"model": "local/qwen3:8b", "base_url": LOOPBACK}, {}, False, {"teacher": "ok", "price": "ok"}),
    ],
)
def test_what_is_said_before_a_run(
    teacher: dict[str, Any], changes: dict[str, Any], keys: bool, expected: dict[str, str]
) -> None:
    found = look(run_config(teacher, **changes), lambda name: keys, today=TODAY)
    terms = {} if teacher["model"].startswith("local") else {"terms": "warn"}
    assert {item.id: item.status for item in found} == {**expected, **terms}
    assert all(item.fix for item in found if item.status != "ok")
    assert not any("token by token" in item.detail for item in found)


def test_a_model_that_ends_soon_is_a_warning() -> None:
    found = look(run_config({"model": "openai/gpt-4o-mini"}, budget_usd=1.0), lambda name: True, today=date(2027, 1, 2))
    (price_item,) = (item for item in found if item.id == "price")
    assert (price_item.status, "2027-01-14" in price_item.detail) == ("warn", True)


def test_everything_that_decides_an_answer_is_in_its_key() -> None:
    endpoint = endpoint_of(ChatTeacher(model="local/x", base_url=LOOPBACK))
    other = endpoint_of(ChatTeacher(model="local/x", base_url="http://127.0.0.1:1234/v1"))
    base: dict[str, Any] = {"messages": ({"role": "user", "content": "a"},), "sampling": AnswerSampling(max_tokens=5)}
    changes = [
        {},
        {"messages": ({"role": "user", "content": "b"},)},
        {"messages": ({"role": "system", "content": "a"},)},
        {"sampling": AnswerSampling(max_tokens=6)},
        {"sampling": AnswerSampling(max_tokens=5, temperature=0.5)},
        {"sampling": AnswerSampling(max_tokens=5, top_p=0.5)},
        {"sampling": AnswerSampling(max_tokens=5, seed=1)},
        {"sample": 1},
        {"purpose": "mark"},
        {"prompt_version": "mark.v2"},
    ]
    keys = {Ask(**{**base, **change}).key(endpoint) for change in changes}
    assert len(keys | {Ask(**base).key(other)}) == len(changes) + 1
    assert Ask(**base).key(endpoint) in keys
