"""Prices: exact arithmetic per request, names, refusals, and the scenario table."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices.data import providers
from hypothesis import given, settings
from hypothesis import strategies as st

from opd.errors import InputError, PriceUnknownError
from opd.pricing import (
    WHY_REAL_DIFFERS,
    PricedModel,
    Rates,
    Usage,
    catalogue,
    is_same_model,
    price,
    price_data_date,
    price_state,
    render_scenarios,
    require_trusted,
    resolve_model,
    scenario_table,
    typed_price,
    usd,
    worst_case,
)

WHEN = datetime(2026, 11, 23, 12, tzinfo=UTC)
counts = st.integers(0, 1_000_000)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    fresh, cached, written, plain, reasoning = (draw(counts) for _ in range(5))
    return Usage(fresh + cached + written, cached, plain + reasoning, reasoning, written)


# --- arithmetic -------------------------------------------------------------------------------------


def test_a_request_is_priced_to_the_nano_dollar() -> None:
    model = resolve_model("openai/gpt-4o-mini", when=WHEN)
    assert price(Usage(input_tokens=100), model) == 15_000
    assert price(Usage(input_tokens=100, cached_input_tokens=40, output_tokens=10), model) == 60 * 150 + 40 * 75 + 6_000
    assert usd(price(Usage(input_tokens=1_000_000, output_tokens=1_000_000), model)) == Decimal("0.75")


@settings(deadline=None)
@given(usages(), st.lists(st.decimals(0, 100, places=7), min_size=5, max_size=5))
def test_price_is_the_exact_sum_rounded_up(usage: Usage, rates: list[Decimal]) -> None:
    model = typed_price("x/y", 1, 1, on=WHEN.date())
    model = PricedModel(**{**{name: getattr(model, name) for name in model.__slots__}, "tiers": (Rates(0, *rates),)})
    fresh, cached, written, plain, reasoning = (Fraction(rate) for rate in rates)
    exact = (
        (usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens) * fresh
        + usage.cached_input_tokens * cached
        + usage.cache_write_tokens * written
        + (usage.output_tokens - usage.reasoning_tokens) * plain
        + usage.reasoning_tokens * reasoning
    ) * 1000
    assert price(usage, model) == math.ceil(exact)


@settings(max_examples=3, deadline=None)
@given(st.lists(usages(), min_size=3, max_size=3))
def test_every_priced_model_agrees_with_the_price_library(three: list[Usage]) -> None:
    checked = 0
    for provider in providers:
        for info in provider.models:
            try:
                ours = resolve_model(f"{provider.id}/{info.id}", when=WHEN)
            except PriceUnknownError:
                continue
            if ours.model != info.id or ours.dearest_hour:
                continue
            checked += 1
            for usage in three:
                theirs = TheirUsage(
                    input_tokens=usage.input_tokens,
                    cache_read_tokens=usage.cached_input_tokens,
                    cache_write_tokens=usage.cache_write_tokens,
                    output_tokens=usage.output_tokens,
                    output_reasoning_tokens=usage.reasoning_tokens,
                )
                expected = info.calc_price(theirs, provider, genai_request_timestamp=WHEN).total_price
                assert price(usage, ours) == math.ceil(Fraction(expected) * 10**9), (ours.id, usage)
    assert checked > 1000


def test_tiers_hold_for_the_whole_request_and_never_for_a_sum() -> None:
    model = resolve_model("anthropic/claude-haiku-5.5", when=WHEN)
    at, above = (price(Usage(input_tokens=tokens), model) for tokens in (100_000, 100_001))
    assert (at, above) == (100_000 * 100, 100_001 * 500)
    one_request = Usage(input_tokens=10_000, output_tokens=200)
    total = sum([one_request] * 100, Usage())
    assert price(total, model) == 5 * 100 * price(one_request, model)


@settings(deadline=None)
@given(usages(), st.sampled_from(["openai/gpt-4o-mini", "anthropic/claude-haiku-5-5", "openai/gpt-6-sol"]))
def test_no_usage_costs_more_than_its_worst_case(usage: Usage, name: str) -> None:
    model = resolve_model(name, when=WHEN)
    assert price(usage, model) <= worst_case(usage.input_tokens, usage.output_tokens, model)
    assert price(usage, model) <= worst_case(usage.input_tokens + 1, usage.output_tokens + 5, model)


def test_worst_case_of_a_short_request_does_not_use_the_long_tier() -> None:
    model = resolve_model("anthropic/claude-haiku-5-5", when=WHEN)
    assert worst_case(100_000, 0, model) == 100_000 * 125  # written to the cache
    assert worst_case(100_001, 0, model) == 100_001 * 625


def test_batch_halves_openai_and_anthropic_and_nobody_without_a_known_discount() -> None:
    usage = Usage(input_tokens=20_000, cached_input_tokens=4_000, output_tokens=2_000)
    for name in ("openai/gpt-6-luna", "anthropic/claude-3-haiku", "openai/gpt-4.5-preview"):
        model = resolve_model(name, when=WHEN)
        assert price(usage, model, batch=True) <= price(usage, model) * 0.75
    fresh = Usage(input_tokens=20_000, output_tokens=2_000)
    mini = resolve_model("openai/gpt-4o-mini", when=WHEN)
    assert price(fresh, mini, batch=True) * 2 == price(fresh, mini)
    unknown = resolve_model("cerebras/gpt-oss-120b", when=WHEN)
    assert price(usage, unknown, batch=True) == price(usage, unknown)


def test_fees_per_request_count() -> None:
    model = resolve_model("perplexity/sonar", when=WHEN)
    assert price(Usage(), model) == 12 * 1_000_000
    assert worst_case(0, 0, model) == 12 * 1_000_000


def test_prices_by_the_hour_take_the_dearest() -> None:
    model = resolve_model("deepseek/deepseek-v4-flash", when=WHEN)
    usage = TheirUsage(input_tokens=1000, output_tokens=1000)
    info = next(info for p in providers if p.id == "deepseek" for info in p.models if info.id == "deepseek-v4-flash")
    provider = next(p for p in providers if p.id == "deepseek")
    day = [
        info.calc_price(usage, provider, genai_request_timestamp=WHEN.replace(hour=hour)).total_price
        for hour in range(24)
    ]
    assert len(set(day)) > 1
    assert model.dearest_hour
    assert usd(price(Usage(input_tokens=1000, output_tokens=1000), model)) == max(day)


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_tokens": -1},
        {"output_tokens": 10**12},
        {"input_tokens": 1.5},
        {"input_tokens": True},
        {"input_tokens": None},
        {"input_tokens": 5, "cached_input_tokens": 6},
        {"input_tokens": 5, "cached_input_tokens": 3, "cache_write_tokens": 3},
        {"output_tokens": 5, "reasoning_tokens": 6},
    ],
)
def test_absurd_usage_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError):
        Usage(**wrong)


# --- names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("openai/gpt-4o-mini", "openai/gpt-4o-mini"),
        ("gpt-4o-mini", "openai/gpt-4o-mini"),
        ("OpenAI/GPT-4o-mini-2024-07-18", "openai/gpt-4o-mini"),
        ("anthropic/claude-3.5-sonnet", "anthropic/claude-3-5-sonnet"),
        ("anthropic/claude-3-5-sonnet-20241022", "anthropic/claude-3-5-sonnet"),
        ("anthropic/claude-sonnet-5.5", "anthropic/claude-sonnet-5-5"),
        ("claude-opus-5-5", "anthropic/claude-opus-5-5"),
        ("gemini/gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("xai/grok-4.3", "x-ai/grok-4.3"),
        ("openrouter/anthropic/claude-haiku-4.5", "openrouter/anthropic/claude-haiku-4.5"),
        ("azure/gpt-4o", "azure/gpt-4o"),
    ],
)
def test_names_as_people_write_them(name: str, found: str) -> None:
    model = resolve_model(name, when=WHEN)
    assert model.id == found
    assert model.price_id.startswith("genai-prices ")
    assert model.price_id.endswith(model.price_date.isoformat())


def test_the_facts_of_a_model() -> None:
    model = resolve_model("openai/gpt-4o-mini", when=WHEN)
    assert (model.base.input, model.base.output, model.base.cached_input) == (
        Decimal("0.15"),
        Decimal("0.6"),
        Decimal("0.075"),
    )
    assert (model.retirement, model.context_tokens) == (date(2027, 1, 14), 128_000)
    assert resolve_model("openai/gpt-4o", when=WHEN).retirement == date(2027, 1, 14)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("openai/gpt-4o-mimi", "openai/gpt-4o-mini"),
        ("anthropic/claude-sonet-5", "anthropic/claude-sonnet-5"),
        ("opnai/gpt-4o-mini", "openai/gpt-4o-mini"),
        ("Qwen/Qwen3-8B", "openrouter/qwen/qwen3-8b"),
    ],
)
def test_an_unknown_name_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(PriceUnknownError) as raised:
        resolve_model(name, when=WHEN)
    assert nearest in raised.value.hint
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("name", ["", "/", "openai/", "no-such-thing", "openai/text-embedding-3-small", "x" * 5000])
def test_what_cannot_be_priced_is_refused_and_never_free(name: str) -> None:
    with pytest.raises(PriceUnknownError):
        resolve_model(name, when=WHEN)


@settings(deadline=None)
@given(st.text(max_size=30))
def test_any_name_is_priced_or_refused(name: str) -> None:
    with contextlib.suppress(PriceUnknownError):
        assert resolve_model(name, when=WHEN).tiers


def test_a_reply_must_name_the_priced_model() -> None:
    model = resolve_model("openai/gpt-4o-mini", when=WHEN)
    assert is_same_model(model, "gpt-4o-mini-2024-07-18")
    assert not is_same_model(model, "gpt-4o-2024-08-06")
    assert not is_same_model(model, "")
    assert is_same_model(typed_price("local/Qwen3", 0, 0), "qwen3")


def test_a_price_of_another_day_is_that_days() -> None:
    before = resolve_model("anthropic/claude-sonnet-4-6", when=datetime(2026, 3, 1, tzinfo=UTC))
    after = resolve_model("anthropic/claude-sonnet-4-6", when=WHEN)
    assert [tier.above_input_tokens for tier in before.tiers] == [0, 200_000]
    assert len(after.tiers) == 1


# --- trust ------------------------------------------------------------------------------------------


def test_prices_age() -> None:
    model = resolve_model("openai/gpt-6-sol", when=WHEN)
    assert model.price_date == price_data_date()
    assert price_state(model, model.price_date + timedelta(days=90)) == "current"
    assert price_state(model, model.price_date + timedelta(days=91)) == "stale"
    require_trusted(model, model.price_date)
    with pytest.raises(PriceUnknownError, match="more than 90 days"):
        require_trusted(model, model.price_date + timedelta(days=91))


def test_models_retire() -> None:
    model = resolve_model("openai/gpt-4o-mini", when=WHEN)
    assert price_state(model, date(2027, 1, 14)) == "current"
    assert price_state(model, date(2027, 1, 15)) == "retired"
    with pytest.raises(PriceUnknownError, match="shut down on 2027-01-14"):
        require_trusted(model, date(2027, 1, 15))


def test_a_typed_price_never_ages_and_is_named() -> None:
    model = typed_price("local/big", "2.5", 10, on=date(2026, 1, 1))
    assert price_state(model, date(2030, 1, 1)) == "typed"
    assert model.price_id == "typed 2.5/10 2026-01-01"
    assert (model.provider, model.model) == ("local", "big")
    assert price(Usage(input_tokens=1000, cached_input_tokens=900, output_tokens=100), model) == 2_500_000 + 1_000_000


@pytest.mark.parametrize(
    ("input_price", "output_price"),
    [(0.00000015, 0.0000006), (150_000, 600_000), (-1, 1), ("x", 1), ("nan", 1), (0, 1)],
)
def test_a_typed_price_in_the_wrong_unit_is_refused(input_price: float, output_price: float) -> None:
    with pytest.raises(PriceUnknownError):
        typed_price("a/b", input_price, output_price)


def test_free_must_be_said() -> None:
    assert price(Usage(input_tokens=5, output_tokens=5), typed_price("local/m", 0, 0)) == 0


# --- the scenario table and the catalogue -----------------------------------------------------------


def test_the_scenario_table_reproduces_the_mission() -> None:
    rows = scenario_table(when=WHEN)
    assert [(row.model, row.input_tokens, row.usd, row.usd_shown) for row in rows] == [
        ("openai/gpt-4o-mini", 50_000, Decimal("0.0075"), "$0.01"),
        ("anthropic/claude-3.5-sonnet", 50_000, Decimal("0.15"), "$0.15"),
        ("openai/gpt-4o-mini", 11_900_000, Decimal("1.785"), "$1.78"),
        ("anthropic/claude-3.5-sonnet", 11_900_000, Decimal("35.7"), "$35.70"),
    ]
    assert json.loads(json.dumps([row.as_dict() for row in rows]))[2]["usd"] == "1.785"
    text = render_scenarios(rows)
    assert WHY_REAL_DIFFERS in text
    for shown in ("$0.01", "$0.15", "$1.78", "$35.70", "50,000", "11,900,000", "$1.785"):
        assert shown in text


def test_the_scenario_table_is_computed_for_any_model() -> None:
    rows = scenario_table(["openai/gpt-6-sol"], when=WHEN)
    rate = resolve_model("openai/gpt-6-sol", when=WHEN).base.input
    assert [row.usd for row in rows] == [rate * 50_000 / 10**6, rate * 11_900_000 / 10**6]


def test_the_catalogue_lists_living_chat_models() -> None:
    entries = catalogue(today=WHEN.date())
    by_id = {entry.id: entry for entry in entries}
    assert len(by_id) == len(entries) > 100
    assert by_id["openai/gpt-4o-mini"].retires == "2027-01-14"
    assert by_id["openai/gpt-4o-mini"].context_tokens == 128_000
    assert by_id["anthropic/claude-haiku-5-5"].tiered
    assert "anthropic/claude-3-5-sonnet" not in by_id
    assert "openai/gpt-4o-mini" not in {entry.id for entry in catalogue(today=date(2027, 1, 15))}
    for entry in entries:
        assert entry.output_usd_per_million > 0
        assert not any(word in entry.id for word in ("embed", "tts", "whisper", "image", "audio", "ft:"))


def test_every_listed_teacher_can_be_priced_by_its_id() -> None:
    for entry in catalogue(today=WHEN.date()):
        assert resolve_model(entry.id, when=WHEN).id == entry.id


def test_pricing_needs_no_ml_package_and_no_network() -> None:
    program = (
        "import sys, socket\n"
        "def refuse(*_): raise AssertionError('network')\n"
        "socket.socket.connect = refuse\n"
        "from opd.pricing import scenario_table, catalogue; scenario_table(); catalogue()\n"
        "print(sorted({'torch', 'transformers', 'trl', 'numpy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
