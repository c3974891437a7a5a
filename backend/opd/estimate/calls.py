"""What a run will ask its teacher, stage by stage: the method's own call plan, before anything is asked.

In: a configuration, its prompts, what is known of the teacher, what is kept. Out: `PlannedCalls`. The plan follows the
stages of `opd.pipeline.answers_only`; the tests compare it with whole runs, request by request.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from opd.config import ChatTeacher, GuidedObjective, MarkObjective, RunConfig
from opd.data_loader import PromptRecord
from opd.estimate.habits import Habits, Range, sent_tokens, text_tokens
from opd.teachers.base import AnswerSampling
from opd.teachers.chat import Ask
from opd.teachers.tasks.instructions import instruction

_SPARE = 1.25  # prompts asked for beyond those wanted, as the expansion does
_EXAMPLES_TO_WRITE, _EXAMPLES_TO_GUIDE = 3, 8
_REPLY_LIMIT = 4096  # of a structured reply
_JSON_TOKENS = 8  # around each text of a JSON reply
_MARK_TOKENS = 14  # of one mark in JSON, without a correction
_RULES, _CRITERIA = Range(50, 600, 1800), Range(20, 180, 500)  # tokens of a guide, and of a prompt's criteria
_REPEATED = Range(1.0, 1.03, 1.3)  # a structured reply that cannot be read is asked for once more


@dataclass(frozen=True)
class Prompts:
    """A run's prompts as it will divide them."""

    train: Sequence[PromptRecord]
    test: Sequence[PromptRecord]


@dataclass(frozen=True)
class PlannedCalls:
    """Requests of one kind.

    Attributes:
        stage: as the ledger lists it.
        words: what is asked, for people.
        num: requests.
        inputs: likely tokens of requests of this kind; all `num` of them are like these in turn.
        spread: what the inputs may really be, by `inputs`.
        output: tokens of a reply, thinking included.
    """

    stage: str
    words: str
    num: Range
    inputs: tuple[float, ...]
    spread: Range
    output: Range


def answer_asks(config: RunConfig, records: Sequence[PromptRecord]) -> list[Ask]:
    """The questions of the answers' stage, as the run puts them: equal keys, so that an answer is paid once."""
    sampling = AnswerSampling(temperature=config.sampling.temperature, max_tokens=config.sampling.max_completion_tokens)
    return [
        Ask(tuple(record.messages), sampling, sample=sample)
        for sample in range(config.answers.per_prompt)
        for record in records
    ]


def sample_asks(config: RunConfig, records: Sequence[PromptRecord]) -> list[Ask]:
    """The questions behind the live samples: a few held-out prompts, without chance."""
    sampling = AnswerSampling(temperature=0, max_tokens=config.sampling.max_completion_tokens)
    return [Ask(tuple(record.messages), sampling) for record in records[: config.evaluation.probe_prompts]]


def plan_calls(
    config: RunConfig, prompts: Prompts, habits: Habits, answers: Sequence[Ask], samples: Sequence[Ask]
) -> list[PlannedCalls]:
    """Everything that will be asked of a teacher that only answers.

    Args:
        answers: those of `answer_asks` that are not kept; samples: likewise of `sample_asks`.
    """
    plan = _Plan(config, prompts, habits)
    calls = [plan.answers(answers, "answers to training prompts"), plan.answers(samples, "samples to look at")]
    if config.expansion.num_prompts:
        calls += [plan.expansion(), plan.expanded_answers()]
    if isinstance(config.objective, MarkObjective) and config.on_policy_fraction > 0:
        calls.append(plan.marking(config.objective))
    if isinstance(config.objective, GuidedObjective):
        calls += [plan.guide(), plan.criteria()]
    return [call for call in calls if call.num.high]


def every_step_calls(config: RunConfig, prompts: Prompts, habits: Habits) -> PlannedCalls:
    """What asking again at every step for every row would be: no run here does it."""
    plan = _Plan(config, prompts, habits)
    num = float(config.max_steps * config.batch_size)
    return PlannedCalls("", "", Range(num, num, num), plan.prompts, habits.input_factor, plan.reply)


class _Plan:
    """The figures that the stages share."""

    def __init__(self, config: RunConfig, prompts: Prompts, habits: Habits):
        self._config, self._train, self._habits = config, prompts.train, habits
        self.prompts = tuple(float(sent_tokens(record.messages)) for record in prompts.train)
        self._questions = tuple(float(text_tokens(record.messages[-1]["content"])) for record in prompts.train)
        self._question = sum(self._questions) / len(self._questions)
        self._lines = isinstance(config.teacher, ChatTeacher) and config.teacher.reply_form == "lines"
        answer, thinking = habits.answer, habits.thinking
        self.reply = Range(answer.low + thinking.low, answer.likely + thinking.likely, answer.high + thinking.high)

    def answers(self, asks: Sequence[Ask], words: str) -> PlannedCalls:
        inputs = tuple(float(sent_tokens(ask.messages)) for ask in asks)
        num = float(len(asks))
        return PlannedCalls("answers", words, Range(num, num, num), inputs, self._habits.input_factor, self.reply)

    def expansion(self) -> PlannedCalls:
        wanted = self._config.expansion.num_prompts
        each = 1 if self._lines else self._config.expansion.per_request
        first = math.ceil(wanted * _SPARE / each)
        sent = self._instructed("write_lines" if self._lines else "write") + _EXAMPLES_TO_WRITE * (self._question + 6)
        written = self._question * self._habits.input_factor.likely
        output = each * written if self._lines else each * (written + _JSON_TOKENS) + _JSON_TOKENS
        num = Range(first, first, 2.0 * first + 2)  # more where many are copies of one another
        return self._structured("expansion", f"requests for {wanted:,} new prompts", num, (sent,), output)

    def expanded_answers(self) -> PlannedCalls:
        num = self._config.expansion.num_prompts * self._config.answers.per_prompt
        counts = Range(0.8 * num, num, num)
        return PlannedCalls(
            "answers", "answers to new prompts", counts, self.prompts, self._habits.input_factor, self.reply
        )

    def marking(self, objective: MarkObjective) -> PlannedCalls:
        refreshes = math.ceil(self._config.max_steps / objective.refresh_every)
        num = float(refreshes * objective.drafts)
        draft, parts = self._habits.answer, self._habits.parts
        form = self._instructed("mark_lines" if self._lines else "mark")
        shown = draft.likely / self._habits.input_factor.likely + (0 if self._lines else 3 * parts.likely)
        inputs = tuple(form + question + shown for question in self._questions)
        if self._lines:
            output = Range(0.25 * draft.low, 0.7 * draft.likely, 1.3 * draft.high)
        else:
            marks = parts.times(_MARK_TOKENS)
            output = Range(marks.low, marks.likely + 0.4 * draft.likely, marks.high + 1.3 * draft.high)
        words = f"drafts marked in {refreshes:,} rounds"
        again = Range(0.5, 1.0, 1.0) if self._lines else Range(0.5, *(_REPEATED.likely, _REPEATED.high))
        counts = Range(num * again.low, num * again.likely, num * again.high)  # a draft written twice is kept
        return PlannedCalls("marking", words, counts, inputs, self._wide(), self._thought(output))

    def guide(self) -> PlannedCalls:
        sent = self._instructed("guide") + _EXAMPLES_TO_GUIDE * (self._question + 6)
        return PlannedCalls("guide", "guide", _REPEATED, (sent,), self._wide(), self._thought(_RULES))

    def criteria(self) -> PlannedCalls:
        form = self._instructed("criteria")
        inputs = tuple(form + question for question in self._questions)
        written = self._config.expansion.num_prompts
        num = _REPEATED.times(float(len(inputs) + written))
        return PlannedCalls("guide", "criteria of each prompt", num, inputs, self._wide(), self._thought(_CRITERIA))

    def _structured(self, stage: str, words: str, num: Range, inputs: tuple[float, ...], output: float) -> PlannedCalls:
        spread = Range(0.7 * output, output, 1.5 * output).at_most(_REPLY_LIMIT)
        return PlannedCalls(stage, words, num, inputs, self._wide(), self._thought(spread))

    def _thought(self, output: Range) -> Range:
        thinking = self._habits.thinking
        return Range(output.low + thinking.low, output.likely + thinking.likely, output.high + thinking.high)

    def _wide(self) -> Range:
        """Instructions are other texts than prompts: their tokens are known less well."""
        factor = self._habits.input_factor
        return Range(0.8 * factor.low, factor.likely, 1.3 * factor.high)

    def _instructed(self, name: str) -> float:
        return float(text_tokens(instruction(name).text))
