"""What a run's teacher will cost: the call plan priced request by request, less what is kept already.

In: a configuration, the ledger's file. Out: `MoneyEstimate`. Every figure comes with the sentence it rests on.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from opd.config import ChatTeacher, RunConfig, ServerTeacher
from opd.data_loader import load_prompts, split
from opd.errors import PriceUnknownError
from opd.estimate.bill import BOUNDS, bill_of
from opd.estimate.calls import PlannedCalls, Prompts, answer_asks, every_step_calls, plan_calls, sample_asks
from opd.estimate.habits import Habits, Range, Seen, habits_of, sent_tokens
from opd.estimate.memory import Lengths
from opd.estimate.shapes import ON_THIS_MACHINE, MoneyEstimate, StageCost, nothing_paid
from opd.pricing import PricedModel, resolve_model, usd
from opd.store.money import KeptAnswer, kept_answers
from opd.teachers.chat import Ask, Endpoint, endpoint_of, price_of
from opd.teachers.chat.endpoints import is_free
from opd.teachers.chat.readings import assess

_PAID_SERVERS = ("fireworks", "together")


def estimate_money(config: RunConfig, ledger: Path, lengths: Lengths) -> MoneyEstimate:
    """What the teacher will cost.

    Raises:
        ConfigError: a teacher's id or address that cannot be used.
        DataError: prompts that cannot be read.
    """
    match config.teacher:
        case ChatTeacher():
            return _chat(config, config.teacher, ledger)
        case ServerTeacher(dialect=dialect) if dialect in _PAID_SERVERS:
            return _scoring(config, config.teacher, lengths)
        case ServerTeacher():
            return nothing_paid("The teacher's server is taken to be your own: nothing is paid.")
        case _:
            return nothing_paid(ON_THIS_MACHINE)


def run_prompts(config: RunConfig) -> Prompts:
    """A run's prompts, divided as it will divide them."""
    records, data = load_prompts(config.data.path), config.data
    if data.test_path is not None:
        return Prompts(records, load_prompts(data.test_path)[: config.evaluation.max_prompts])
    parts = split(records, data.test_fraction, config.seed)
    return Prompts(parts.train, parts.test[: config.evaluation.max_prompts])


# --- a teacher that only answers --------------------------------------------------------------------


def _chat(config: RunConfig, teacher: ChatTeacher, ledger: Path) -> MoneyEstimate:
    endpoint = endpoint_of(teacher)
    price, problem = _price(config, teacher)
    if price is not None and is_free(price):
        return nothing_paid(f"{endpoint.id} runs on this machine or its network, or was priced at 0: nothing is paid.")
    prompts = run_prompts(config)
    answers, samples = answer_asks(config, prompts.train), sample_asks(config, prompts.test)
    kept = kept_answers(ledger, [ask.key(endpoint) for ask in (*answers, *samples)])
    seen = _seen(answers, kept, endpoint, price)
    habits = habits_of(seen, limit=config.sampling.max_completion_tokens, thinking=teacher.thinking_tokens)
    open_answers, open_samples = (_unpaid(asks, kept, endpoint) for asks in (answers, samples))
    calls = plan_calls(config, prompts, habits, open_answers, open_samples)
    dollars = None if config.budget_tokens is not None else price
    figures = _figures(calls, dollars) | {
        "every_step_usd": _usd_of([every_step_calls(config, prompts, habits)], dollars),
        "num_kept": len(kept),
        "num_seen": habits.num_seen,
        "price_problem": problem,
    }
    assumptions = [*_price_sentences(config, dollars), *_length_sentences(config, habits), *_batch(calls, dollars)]
    if config.objective.type == "mark":
        assumptions.append("The student's drafts are taken to be as long as the teacher's answers.")
    return MoneyEstimate(figures, assumptions, dollars.price_date.isoformat() if dollars else None)


def _unpaid(asks: Sequence[Ask], kept: dict[str, KeptAnswer], endpoint: Endpoint) -> list[Ask]:
    """Those that will be paid; the same question twice is paid once."""
    by_key = {ask.key(endpoint): ask for ask in asks}
    return [ask for key, ask in by_key.items() if key not in kept]


def _price(config: RunConfig, teacher: ChatTeacher) -> tuple[PricedModel | None, str]:
    try:
        return price_of(teacher, capped_by_tokens=config.budget_tokens is not None), ""
    except PriceUnknownError as error:
        return None, f"{error.message} {error.hint}".strip()


def _seen(
    asks: Sequence[Ask], kept: dict[str, KeptAnswer], endpoint: Endpoint, price: PricedModel | None
) -> list[Seen]:
    """The kept answers that teach something about the others."""
    if price is None:
        return []
    seen = []
    for ask in asks:
        found = kept.get(ask.key(endpoint))
        if found is not None and found.usage is not None:
            answer = assess(found.body, ask, endpoint, price).answer
            if answer.problem is None:
                seen.append(Seen(sent_tokens(ask.messages), found.usage, answer.text))
    return seen


# --- a server that scores ---------------------------------------------------------------------------


def _scoring(config: RunConfig, teacher: ServerTeacher, lengths: Lengths) -> MoneyEstimate:
    """Each row of the student's own text is sent once: prompt and completion in, one token out."""
    num = config.max_steps * config.batch_size * config.on_policy_fraction
    sent = Range(lengths.prompt + 0.2 * lengths.longest_completion, lengths.prompt + lengths.completion,
                 lengths.longest_prompt + lengths.longest_completion)  # fmt: skip
    likely = float(sent.likely)
    spread = Range(sent.low / likely, 1.0, sent.high / likely)
    calls = [PlannedCalls("scoring", "rows of the student's text scored", Range(num, num, num), (likely,), spread,
                          Range(1, 1, 1))]  # fmt: skip
    try:
        price, problem = resolve_model(f"{teacher.dialect}/{teacher.model}"), ""
    except PriceUnknownError as error:
        price, problem = None, f"{error.message} {error.hint}".strip()
    figures = _figures(calls, price) | {"price_problem": problem, "every_step_usd": _usd_of(calls, price)}
    sentences = ["Scored rows depend on the student of that step: they are asked for at every step and never kept.",
                 "A scoring server is not asked through the ledger, so a spend cap does not hold for it."]  # fmt: skip
    return MoneyEstimate(figures, sentences, price.price_date.isoformat() if price else None)


# --- figures and sentences --------------------------------------------------------------------------


def _figures(calls: Sequence[PlannedCalls], price: PricedModel | None) -> dict[str, Any]:
    bills = {bound: bill_of(calls, price, bound) for bound in BOUNDS}
    likely = bills["likely"]
    return nothing_paid().figures | {
        "teacher_is_paid": True,
        **{f"{bound}_usd": _usd_of(calls, price, bound) for bound in BOUNDS},
        "stages": [
            _stage(stage, words, list(group), price)
            for (stage, words), group in groupby(calls, lambda call: (call.stage, call.words))
        ],
        "low_tokens": bills["low"].input_tokens + bills["low"].output_tokens,
        "high_tokens": bills["high"].input_tokens + bills["high"].output_tokens,
        "input_tokens": likely.input_tokens,
        "output_tokens": likely.output_tokens,
        "num_requests": likely.num_requests,
    }


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


def _price_sentences(config: RunConfig, price: PricedModel | None) -> list[str]:
    if config.budget_tokens is not None:
        return ["The run is capped by tokens: no price is needed, and none is used."]
    if price is None:
        return []
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
