"""What a provider offers now, asked over both APIs and over REST, with our prices beside it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from fake_provider import CountingBrain, FakeProvider
from opd.config import ChatTeacher
from opd.teachers.chat import endpoint_of
from opd.teachers.chat.offers import offers
from studio_in_tests import open_studio

KEY = "sk-canary-77aa01b2"


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with FakeProvider(CountingBrain()) as provider:
        yield provider


@pytest.mark.parametrize(("model", "path"), [("openai/list", "/v1"), ("anthropic/list", "")])
def test_models_come_with_prices_where_they_are_known(model: str, path: str, provider: FakeProvider) -> None:
    endpoint = endpoint_of(ChatTeacher(model=model, base_url=provider.url + path))
    found = {offer.id.partition("/")[2]: offer for offer in offers(endpoint, KEY, today=date(2026, 11, 27))}
    assert set(found) == {"gpt-4o-mini", "claude-sonnet-4-6", "tiny"}
    assert found["tiny"].output_usd_per_million is None
    known = found["gpt-4o-mini" if model.startswith("openai") else "claude-sonnet-4-6"]
    assert known.output_usd_per_million
    assert known.price_date
    if model.startswith("openai"):
        assert known.retires == "2027-01-14"


def test_the_studio_asks_with_the_key_that_it_keeps_and_never_shows_it(provider: FakeProvider, tmp_path: Path) -> None:
    with open_studio(tmp_path) as client:
        client.send_json("PUT", "/api/keys/local", {"value": KEY})
        answer = client.send_json(
            "POST", "/api/teachers/offers", {"provider": "local", "base_url": f"{provider.url}/v1"}
        )
        assert answer.json()["items"][0]["id"] == "local/gpt-4o-mini"
        assert KEY not in answer.text
        nowhere = client.send_json("POST", "/api/teachers/offers", {"provider": "local"})
        assert nowhere.status_code == 400
        refused = client.send_json(
            "POST", "/api/teachers/offers", {"provider": "local", "base_url": "http://169.254.169.254/latest"}
        )
        assert refused.status_code == 400
    assert provider.listed == [KEY]
