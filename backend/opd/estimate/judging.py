"""What a judge will be asked: every pair of answers in both orders, and every answer by the criteria.

In: a configuration and its prompts. Out: `PlannedCalls` of the stage `judging`; the tests compare them with whole runs.
"""

from __future__ import annotations

from opd.config import RunConfig
from opd.estimate.calls import PlannedCalls, Prompts
from opd.estimate.habits import Range, sent_tokens, text_tokens

STAGE = "judging"
PAIR_FORM_TOKENS, CRITERIA_FORM_TOKENS = 227, 145  # of the instructions `pairwise` and `rubric`
_REASONS = Range(10, 110, 260)  # tokens of at most five sentences and a verdict
_CRITERION_TOKENS = 7  # of its line in the reply
_UNEQUAL = Range(0.5, 1.0, 1.0)  # equal answers are a tie that nobody is asked about


def judging_calls(config: RunConfig, prompts: Prompts, answer: Range) -> list[PlannedCalls]:
    """Prompts × orders × models that are compared, and prompts × models by criteria.

    Args:
        answer: tokens of an answer.
    """
    judge = config.evaluation.judge
    trained_apart = config.baseline.enabled or (config.warm_start.steps and config.objective.needs == "text")
    num_pairs, num_rubric = judge.num_questions(len(prompts.test), 3 if trained_apart else 2)
    records = prompts.test[: judge.max_prompts]
    if not records or not config.evaluation.enabled:
        return []
    questions = tuple(float(sent_tokens(record.messages)) for record in records)
    spread = Range(0.6, 1.0, 1.8)
    pairs = PlannedCalls(
        STAGE,
        "pairs of answers compared, in both orders",
        _UNEQUAL.times(num_pairs),
        tuple(PAIR_FORM_TOKENS + question + 2 * answer.likely for question in questions),
        spread,
        _thought(_REASONS, judge.thinking_tokens),
    )
    criteria = sum(text_tokens(text) + 4 for text in judge.criteria)
    rubric = PlannedCalls(
        STAGE,
        "answers checked by criteria",
        Range(num_rubric, num_rubric, num_rubric),
        tuple(CRITERIA_FORM_TOKENS + criteria + question + answer.likely for question in questions),
        spread,
        _thought(Range(0.8, 1.0, 2.0).times(_CRITERION_TOKENS * len(judge.criteria)), judge.thinking_tokens),
    )
    return [calls for calls in (pairs, rubric) if calls.num.high]


def _thought(output: Range, thinking: int) -> Range:
    return Range(output.low, output.likely + 0.5 * thinking, output.high + thinking)
