"""Whom a scoring server is paid, and whose key it is given."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from opd.config import ServerTeacher
from opd.errors import PriceUnknownError
from opd.keys import provider_of_server
from opd.teachers.server_price import price_of_server

SOLD = {"base_url": "https://api.together.xyz/v1", "dialect": "together", "model": "deepseek-ai/DeepSeek-V4-Pro-0813"}


def teacher(**settings: Any) -> ServerTeacher:
    return ServerTeacher(**(SOLD | settings))


def test_what_is_sold_has_a_price_and_what_is_yours_has_none() -> None:
    sold = price_of_server(teacher())
    assert sold is not None
    assert sold.base.input > 0
    assert price_of_server(teacher(base_url="http://127.0.0.1:8000/v1")) is None
    assert price_of_server(teacher(base_url="https://gpu.example.org/v1", dialect="vllm")) is None
    assert price_of_server(teacher(input_usd_per_million=0, output_usd_per_million=0)) is None
    typed = price_of_server(teacher(dialect="vllm", input_usd_per_million=1, output_usd_per_million=2))
    assert typed is not None
    assert typed.source == "typed"


def test_an_unknown_or_old_price_is_refused_unless_tokens_are_capped() -> None:
    with pytest.raises(PriceUnknownError, match="nobody"):
        price_of_server(teacher(model="nobody/knows"))
    with pytest.raises(PriceUnknownError):
        price_of_server(teacher(), today=date(2028, 1, 1))
    by_tokens = price_of_server(teacher(model="nobody/knows"), capped_by_tokens=True)
    assert by_tokens is not None
    assert by_tokens.price_id.startswith("no price: one nano-dollar")


def test_a_providers_key_goes_to_its_own_address_only() -> None:
    assert provider_of_server("together", SOLD["base_url"]) == "together"
    for stranger in (
        "https://api.together.xyz.evil.example/v1",
        "https://evil.example/api.together.xyz",
        "http://api.together.xyz/v1",
        "https://api.fireworks.ai/v1",
        "https://api.together.xyz@evil.example/v1",
    ):
        assert provider_of_server("together", stranger) == "local"
