"""The same code against the real endpoints: one short answer of each provider whose key is in the environment.

Never run by default. It spends less than a tenth of a cent, and its ledger is capped at one cent:

    OPENAI_API_KEY=… ANTHROPIC_API_KEY=… make test ARGS="-m paid backend/tests/teachers/chat -q"
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from opd.config import ChatTeacher
from opd.keys import VARIABLES
from opd.pricing import NANO_PER_USD, catalogue
from opd.store.money import Ledger, audit
from opd.teachers.base import AnswerSampling
from opd.teachers.chat import Ask, ChatApi, Purse, endpoint_of, price_of
from opd.teachers.chat.offers import offers

PROVIDERS = ("openai", "anthropic", "google", "openrouter")
CAP_USD = 0.01

pytestmark = pytest.mark.paid


def cheapest(provider: str, key: str) -> str:
    """The cheapest chat model that the provider offers now; or the one in OPD_PAID_<PROVIDER>."""
    if wanted := os.environ.get(f"OPD_PAID_{provider.upper()}"):
        return wanted
    offered = {offer.id for offer in offers(endpoint_of(ChatTeacher(model=f"{provider}/list")), key)}
    models = [model for model in catalogue(providers=(provider,)) if model.id in offered]
    return min(models, key=lambda model: model.output_usd_per_million).id


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_answer_is_given_billed_and_kept(provider: str, tmp_path: Path) -> None:
    key = os.environ.get(VARIABLES[provider])
    if not key:
        pytest.skip(f"{VARIABLES[provider]} is not set")
    teacher = ChatTeacher(model=cheapest(provider, key), thinking_tokens=512)
    ask = Ask(
        ({"role": "user", "content": "What is 2 + 2? Answer with the number only."},), AnswerSampling(max_tokens=64)
    )
    with Ledger(tmp_path / "money.db") as ledger:
        purse = Purse(ledger, "paid-test")
        purse.cap(usd=CAP_USD)
        with ChatApi.from_config(teacher, price_of(teacher), purse=purse, key=key) as chat:
            (answer,) = chat.ask([ask], stage="answers")
            (again,) = chat.ask([ask], stage="answers")
        assert answer.problem is None, answer.reason
        assert "4" in answer.text
        assert (again.text, again.from_cache) == (answer.text, True)
        meter = purse.meter()
        assert 0 < meter.spent_nano_usd <= CAP_USD * NANO_PER_USD
        assert meter.saved_nano_usd == meter.spent_nano_usd
        assert audit(ledger) == []
