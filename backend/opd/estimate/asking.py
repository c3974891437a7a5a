"""Three real questions before a run, so that its estimate rests on what this teacher really writes.

They are the run's own first questions: what they cost is not paid again by the run, which finds the answers kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from opd.config import ChatTeacher, RunConfig
from opd.errors import ConfigError
from opd.estimate.calls import answer_asks
from opd.estimate.plans import run_prompts
from opd.store.money import Ledger
from opd.teachers.base import Answer
from opd.teachers.chat import ChatApi, Purse, endpoint_of, price_of
from opd.terms import require_accepted

NUM_ASKED = 3
ESTIMATES = "estimate"
"""The name that these calls have in the ledger in place of a run's, and the stage's."""


def ask_three(
    config: RunConfig, *, ledger: Path, key_of: Callable[[str], str | None], accepted: Sequence[str] = ()
) -> list[Answer]:
    """Ask them, or take the kept answers. Never more than their own worst case is spent.

    Args:
        key_of: from a provider to its key.
        accepted: codes of notices that the person has accepted: these answers are trained on later.

    Raises:
        ConfigError: the teacher is not one that only answers, or cannot be used.
        TermsNotAcceptedError: the provider's terms were not accepted; nothing was asked.
        PriceUnknownError: nobody knows what it would cost.
        BudgetReachedError: the month's budget is.
        DataError, TeacherError: from reading prompts and asking.
    """
    if not isinstance(config.teacher, ChatTeacher):
        raise ConfigError(
            f"A {config.teacher.type} teacher is not asked for answers, so there is nothing to learn by asking.",
            hint="The estimate stands as it is.",
        )
    require_accepted(config, accepted)
    by_tokens = config.budget_tokens is not None
    endpoint, price = endpoint_of(config.teacher), price_of(config.teacher, capped_by_tokens=by_tokens)
    asks = answer_asks(config, run_prompts(config).train)[:NUM_ASKED]
    run_id = f"{ESTIMATES}-tokens" if by_tokens else ESTIMATES
    with Ledger(ledger) as book:
        purse = Purse(book, run_id)
        with ChatApi.from_config(config.teacher, price, purse=purse, key=key_of(endpoint.key_name)) as chat:
            meter = purse.meter()
            room = sum(chat.worst_nano_usd(ask) for ask in asks)
            book.set_run_cap(run_id, meter.spent_nano_usd + meter.held_nano_usd + room)
            return chat.ask(asks, stage=ESTIMATES)
