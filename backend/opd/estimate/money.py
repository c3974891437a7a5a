"""What a run's teacher and judge will cost: their call plans priced request by request, less what is kept already.

In: a configuration, the ledger's file. Out: `MoneyEstimate`. Every figure comes with the sentence it rests on.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from opd.config import ChatTeacher, RunConfig, ServerTeacher
from opd.estimate.bill import BOUNDS, Bound, bill_of
from opd.estimate.calls import PlannedCalls
from opd.estimate.habits import Habits
from opd.estimate.lengths import Lengths
from opd.estimate.plans import Plan, judge_plan, teacher_plan
from opd.estimate.shapes import ON_THIS_MACHINE, MoneyEstimate, StageCost, nothing_paid
from opd.pricing import PricedModel, usd


def estimate_money(config: RunConfig, ledger: Path, lengths: Lengths) -> MoneyEstimate:
    """What teacher and judge will cost.

    Raises:
        ConfigError: a model's id or address that cannot be used.
        DataError: prompts that cannot be read.
    """
    teacher = teacher_plan(config, ledger, lengths)
    judge = judge_plan(config, lengths, teacher.habits if teacher else None)
    plans = [plan for plan in (teacher, judge) if plan is not None]
    if not plans:
        return nothing_paid(_free_words(config))
    by_tokens = config.budget_tokens is not None
    priced = [(plan.calls, None if by_tokens else plan.price) for plan in plans]
    figures = _figures(priced) | {
        "every_step_usd": _every_step(teacher, by_tokens=by_tokens),
        "num_kept": sum(plan.num_kept for plan in plans),
        "num_seen": teacher.habits.num_seen if teacher and teacher.habits else 0,
        "price_problem": " ".join(plan.problem for plan in plans if plan.problem),
    }
    dates = [plan.price.price_date for plan in plans if plan.price is not None and not by_tokens]
    return MoneyEstimate(figures, _sentences(config, teacher, judge), min(dates).isoformat() if dates else None)


# --- figures and sentences --------------------------------------------------------------------------


Priced = Sequence[tuple[list[PlannedCalls], PricedModel | None]]
"""Planned calls with the price of whoever answers them; None: not known, or not needed."""


def _figures(priced: Priced) -> dict[str, Any]:
    calls = [call for some, _ in priced for call in some]
    bills = {bound: bill_of(calls, None, bound) for bound in BOUNDS}
    likely = bills["likely"]
    return nothing_paid().figures | {
        "teacher_is_paid": True,
        **{f"{bound}_usd": _sum_usd(priced, bound) for bound in BOUNDS},
        "stages": [
            _stage(stage, words, list(group), price)
            for some, price in priced
            for (stage, words), group in groupby(some, lambda call: (call.stage, call.words))
        ],
        "low_tokens": bills["low"].input_tokens + bills["low"].output_tokens,
        "high_tokens": bills["high"].input_tokens + bills["high"].output_tokens,
        "input_tokens": likely.input_tokens,
        "output_tokens": likely.output_tokens,
        "num_requests": likely.num_requests,
    }


def _sum_usd(priced: Priced, bound: Bound) -> float | None:
    """Dollars of all together; None where one of the prices is not known."""
    nano = [None if price is None else bill_of(calls, price, bound).nano_usd for calls, price in priced]
    return None if None in nano else float(usd(sum(amount for amount in nano if amount is not None)))


def _every_step(teacher: Plan | None, *, by_tokens: bool) -> float | None:
    if teacher is None or teacher.every_step is None:
        return None
    return _usd_of([teacher.every_step], None if by_tokens else teacher.price)


def _stage(stage: str, words: str, calls: list[PlannedCalls], price: PricedModel | None) -> StageCost:
    likely = bill_of(calls, price, "likely")
    return StageCost(
        stage=stage,
        words=words,
        num_requests=likely.num_requests,
        input_tokens=likely.input_tokens,
        output_tokens=likely.output_tokens,
        low_usd=_usd_of(calls, price, "low"),
        likely_usd=_usd_of(calls, price),
        high_usd=_usd_of(calls, price, "high"),
    )


def _usd_of(calls: Sequence[PlannedCalls], price: PricedModel | None, bound: Any = "likely") -> float | None:
    return None if price is None else float(usd(bill_of(calls, price, bound).nano_usd))


def _free_words(config: RunConfig) -> str:
    match config.teacher:
        case ChatTeacher(model=name):
            return f"{name} runs on this machine or its network, or was priced at 0: nothing is paid."
        case ServerTeacher():
            return "The teacher's server is taken to be your own: nothing is paid."
        case _:
            return ON_THIS_MACHINE


def _sentences(config: RunConfig, teacher: Plan | None, judge: Plan | None) -> list[str]:
    by_tokens = config.budget_tokens is not None
    lines = ["The run is capped by tokens: no price is needed, and none is used."] if by_tokens else []
    for plan in (teacher, judge):
        if plan is not None and plan.price is not None and not by_tokens:
            lines += _price_sentences(plan.price)
    if teacher is not None and teacher.habits is not None:
        lines += [
            *_length_sentences(config, teacher.habits),
            *_batch(teacher.calls, None if by_tokens else teacher.price),
        ]
        if config.objective.type == "mark":
            lines.append("The student's drafts are taken to be as long as the teacher's answers.")
    elif teacher is not None:
        lines.append("Scored rows depend on the student of that step: they are asked for at every step.")
    if judge is not None:
        lines.append("The judge is asked about each pair of answers in both orders; equal answers are a tie.")
    return lines


def _price_sentences(price: PricedModel) -> list[str]:
    base = price.base
    where = "as you typed it" if price.source == "typed" else f"from price data of {price.price_date}"
    lines = [
        f"{price.id}: ${base.input.normalize():f} a million input tokens, ${base.output.normalize():f} output, {where}."
    ]
    if len(price.tiers) > 1:
        lines.append("Long requests have a higher price: each request is priced apart, in its own tier.")
    if price.dearest_hour:
        lines.append("The price depends on the hour: the dearest is taken.")
    return lines


def _length_sentences(config: RunConfig, habits: Habits) -> list[str]:
    if habits.num_seen:
        mean = f"{habits.answer.likely:,.0f} tokens on average"
        return [f"Lengths are from {habits.num_seen} real answers of this teacher: {mean}."]
    length = f"{habits.answer.likely:,.0f} of at most {config.sampling.max_completion_tokens:,} tokens"
    return [f"Answers are taken to have {length}; asking three prompts narrows the range."]


def _batch(calls: Sequence[PlannedCalls], price: PricedModel | None) -> list[str]:
    if price is None or not price.batch_tiers or not calls:
        return []
    once = [call for call in calls if call.stage != "marking"]
    saved = bill_of(once, price, "likely").nano_usd - bill_of(once, price, "likely", batch=True).nano_usd
    cheaper = f"${float(usd(saved)):,.4f} cheaper and may take a day"
    return [f"Requests are made one by one; the provider's batch interface would be {cheaper}."]
