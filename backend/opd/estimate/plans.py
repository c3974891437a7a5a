"""Who will be asked what in a run, and at which price: the teacher's call plan and the judge's.

In: a configuration, the ledger's file, lengths. Out: a `Plan` for each model that costs money. Asks nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from opd.config import ChatTeacher, RunConfig, ServerTeacher
from opd.data_loader import load_prompts, split
from opd.errors import PriceUnknownError
from opd.estimate.calls import PlannedCalls, Prompts, answer_asks, every_step_calls, plan_calls, sample_asks
from opd.estimate.habits import Habits, Range, Seen, habits_of, sent_tokens
from opd.estimate.judging import judging_calls
from opd.estimate.lengths import Lengths
from opd.estimate.scoring import scoring_calls
from opd.pricing import PricedModel
from opd.store.money import KeptAnswer, kept_answers
from opd.teachers.chat import Ask, Endpoint, endpoint_of, price_of
from opd.teachers.chat.endpoints import is_free
from opd.teachers.chat.readings import assess
from opd.teachers.server_price import price_of_server


@dataclass(frozen=True)
class Plan:
    """What one model will be asked.

    Attributes:
        calls: beyond what is kept.
        price: None where nobody knows it; `problem` says why.
        num_kept: answers that were paid before and are not in `calls`.
        habits: what is known of its answers; None of one that is not asked for any.
        every_step: what asking again for every row of every step would be, where no run does it.
    """

    calls: list[PlannedCalls]
    price: PricedModel | None
    problem: str = ""
    num_kept: int = 0
    habits: Habits | None = None
    every_step: PlannedCalls | None = None


def run_prompts(config: RunConfig) -> Prompts:
    """A run's prompts, divided as it will divide them."""
    records, data = load_prompts(config.data.path), config.data
    if data.test_path is not None:
        return Prompts(records, load_prompts(data.test_path)[: config.evaluation.max_prompts])
    parts = split(records, data.test_fraction, config.seed)
    return Prompts(parts.train, parts.test[: config.evaluation.max_prompts])


def teacher_plan(config: RunConfig, ledger: Path, lengths: Lengths) -> Plan | None:
    """What the teacher will be asked; None where it costs nothing."""
    by_tokens = config.budget_tokens is not None
    teacher = config.teacher
    if isinstance(teacher, ChatTeacher):
        price, problem = _price(partial(price_of, teacher, capped_by_tokens=by_tokens))
        return None if price is not None and is_free(price) else _chat(config, teacher, ledger, price, problem)
    if not isinstance(teacher, ServerTeacher):
        return None
    price, problem = _price(partial(price_of_server, teacher, capped_by_tokens=by_tokens))
    if price is None and not problem:
        return None
    calls = scoring_calls(config, run_prompts(config), lengths)
    every_step = next((call for call in calls if call.stage == "scoring"), None)
    return Plan(calls, price, problem, every_step=every_step)


def judge_plan(config: RunConfig, lengths: Lengths, habits: Habits | None) -> Plan | None:
    """What the judge will be asked; None where there is none or it costs nothing.

    Args:
        habits: of the teacher, whose answers the student's become like.
    """
    judge = config.evaluation.judge
    if not judge.model:
        return None
    price, problem = _price(partial(price_of, judge, capped_by_tokens=config.budget_tokens is not None))
    if price is not None and is_free(price):
        return None
    longest = lengths.longest_completion
    answer = habits.answer if habits and habits.num_seen else Range(0.1 * longest, lengths.completion, longest)
    return Plan(judging_calls(config, run_prompts(config), answer), price, problem)


def _price(look: Callable[[], PricedModel | None]) -> tuple[PricedModel | None, str]:
    try:
        return look(), ""
    except PriceUnknownError as error:
        return None, f"{error.message} {error.hint}".strip()


# --- a teacher that only answers --------------------------------------------------------------------


def _chat(config: RunConfig, teacher: ChatTeacher, ledger: Path, price: PricedModel | None, problem: str) -> Plan:
    endpoint, prompts = endpoint_of(teacher), run_prompts(config)
    answers, samples = answer_asks(config, prompts.train), sample_asks(config, prompts.test)
    kept = kept_answers(ledger, [ask.key(endpoint) for ask in (*answers, *samples)])
    seen = _seen(answers, kept, endpoint, price)
    habits = habits_of(seen, limit=config.sampling.max_completion_tokens, thinking=teacher.thinking_tokens)
    open_answers, open_samples = (_unpaid(asks, kept, endpoint) for asks in (answers, samples))
    calls = plan_calls(config, prompts, habits, open_answers, open_samples)
    return Plan(calls, price, problem, len(kept), habits, every_step_calls(config, prompts, habits))


def _unpaid(asks: Sequence[Ask], kept: dict[str, KeptAnswer], endpoint: Endpoint) -> list[Ask]:
    """Those that will be paid; the same question twice is paid once."""
    by_key = {ask.key(endpoint): ask for ask in asks}
    return [ask for key, ask in by_key.items() if key not in kept]


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
