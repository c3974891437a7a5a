"""Whether a run can start asking its chat teacher: looked at without sending anything.

In: a run's configuration, and whether the key is there. Out: what was found, per thing that is needed. The same checks
refuse a run that starts in spite of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

from opd.config import ChatModel, ChatTeacher, RunConfig
from opd.teachers.chat.endpoints import LOCAL, endpoint_of, is_free, price_of
from opd.terms import notice_for

_SOON_DAYS = 30


@dataclass(frozen=True)
class Found:
    """One thing; `fix` is empty where it is ok."""

    id: Literal["teacher", "price", "budget", "terms", "judge"]
    title: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    fix: str = ""


def look(config: RunConfig, has_key: Callable[[str], bool], *, today: date | None = None) -> list[Found]:
    """Address and key, price, budget and terms, in this order.

    Args:
        has_key: whether the key of this name is on this machine.

    Raises:
        ConfigError: an id or address that cannot be used.
        PriceUnknownError: no price that may be relied on, and none is typed.
    """
    assert isinstance(config.teacher, ChatTeacher)  # noqa: S101  # the caller looks at the kind
    day = today or datetime.now(UTC).date()
    price = price_of(config.teacher, capped_by_tokens=config.budget_tokens is not None, today=day)
    found = [_reachable(config.teacher, has_key)]
    if config.budget_tokens is not None:
        found.append(Found("price", "Price", "ok", f"Not needed: at most {config.budget_tokens:,} tokens are used."))
    elif is_free(price):
        found.append(Found("price", "Price", "ok", "Nothing: the model is yours."))
    else:
        base, retires = price.base, price.retirement
        detail = f"${base.input:g} in and ${base.output:g} out per million tokens ({price.source}, {price.price_date})."
        if retires is not None and (retires - day).days <= _SOON_DAYS:
            fix = "Finish before then, or choose another teacher."
            found.append(Found("price", "Price", "warn", f"{detail} The model is shut down on {retires}.", fix))
        else:
            found.append(Found("price", "Price", "ok", detail))
        found.append(_budget(config))
    notice = notice_for(config)
    if notice is not None:
        found.append(Found("terms", notice.title, "warn", notice.text, f"Accept them at the start: {notice.address}"))
    return found


def look_at_judge(config: RunConfig, has_key: Callable[[str], bool], *, today: date | None = None) -> Found:
    """Whether the configured judge can be asked: address and key, price, budget.

    Raises:
        ConfigError, PriceUnknownError: as `look`.
    """
    judge = config.evaluation.judge
    endpoint, title = endpoint_of(judge), "Judge"
    price = price_of(judge, capped_by_tokens=config.budget_tokens is not None, today=today)
    where = f"{endpoint.model} at {endpoint.origin} compares at most {judge.max_prompts:,} answers, in both orders."
    if endpoint.key_name != LOCAL and not has_key(endpoint.key_name):
        fix = f"Set it on the Teachers page, or with `opd keys set {endpoint.key_name}`."
        return Found("judge", title, "fail", f"{where} There is no key for {endpoint.key_name}.", fix)
    if config.budget_usd is None and config.budget_tokens is None and not is_free(price):
        fix = "Set budget_usd; the run pauses before it would be passed, and can be resumed."
        return Found("judge", title, "fail", f"{where} It is paid, and no spend cap is set: nothing is sent.", fix)
    return Found("judge", title, "ok", where)


def _reachable(teacher: ChatModel, has_key: Callable[[str], bool]) -> Found:
    endpoint = endpoint_of(teacher)
    where = f"{endpoint.model} at {endpoint.origin}, answers only: not token-level."
    if endpoint.key_name == LOCAL or has_key(endpoint.key_name):
        return Found("teacher", "Teacher", "ok", where)
    fix = f"Set it on the Teachers page, or with `opd keys set {endpoint.key_name}`."
    return Found("teacher", "Teacher", "fail", f"{where} There is no key for {endpoint.key_name}.", fix)


def _budget(config: RunConfig) -> Found:
    if config.budget_usd is None:
        fix = "Set budget_usd; the run pauses before it would be passed, and can be resumed."
        return Found("budget", "Budget", "fail", "This teacher is paid, and no spend cap is set: nothing is sent.", fix)
    return Found("budget", "Budget", "ok", f"At most ${config.budget_usd:g}; the run pauses before that is passed.")
