"""Alarms on a run while it goes on: what a person should look at, why, and what to do.

In: the metrics of each step, recorded samples, the teacher's answers. Out: `AlarmRaised`, once per episode (an alarm
comes again only after its condition was away for a while). Knows nothing of models, files or processes; it never stops
a run itself.

Distillation that goes well looks dramatic: reverse KL and entropy fall to a fifth, lengths settle, accuracy dips
before it rises. So every rule compares with the run's own beginning or its recent past and asks for several steps in a
row; the thresholds and their reasons stand in the table in `health_rules.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from opd.evaluation.health_rules import RULES, SAMPLE_RULES, Rule, SampleRule, Seen, Trace
from opd.evaluation.texts import ends_in_loop, reads_like_refusal, shares_passage
from opd.events import AlarmRaised

_CALM_STEPS = 10  # an episode is over after so many steps (or samples) without the condition
_WINDOW = 32  # samples and teacher answers looked back at


@dataclass
class _Episode:
    """Whether an alarm is on, and for how long its condition has been away."""

    is_on: bool = False
    calm: int = 0

    def begins(self, holds: bool) -> bool:
        """Take the newest observation; True at the beginning of an episode only."""
        if holds:
            begins, self.is_on, self.calm = not self.is_on, True, 0
            return begins
        self.calm += 1
        if self.calm >= _CALM_STEPS:
            self.is_on = False
        return False


@dataclass
class HealthMonitor:
    """Watches one run.

    Args:
        max_completion_tokens: the length limit of completions.
        private_texts: texts that the student must never repeat (a guide, criteria, reference answers of held-out
            prompts).
    """

    max_completion_tokens: int
    private_texts: Sequence[str] = ()
    _trace: Trace = field(init=False)
    _episodes: dict[str, _Episode] = field(default_factory=dict)
    _samples: deque[Seen] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    _answers: deque[Seen] = field(default_factory=lambda: deque(maxlen=_WINDOW))

    def __post_init__(self) -> None:
        self._trace = Trace(self.max_completion_tokens)

    def observe(self, step: int, metrics: Mapping[str, float | None]) -> list[AlarmRaised]:
        """Take one step's metrics (names as logged; unknown names are ignored) and say what is newly wrong.

        `reward` and `judge_score` are compared with each other where a run logs both.
        """
        self._trace.add(step, metrics)
        raised = []
        taken: set[str] = set()
        for rule in RULES:
            why = None if taken & set(rule.unless) else rule.test(self._trace)
            if why is not None:
                taken.add(rule.code)
            if self._episode(rule.code).begins(why is not None):
                raised.append(_alarm(rule, step, why or ""))
        return raised

    def observe_sample(self, step: int, text: str, truncated: bool, prompt: str = "") -> list[AlarmRaised]:
        """Take one text that the student wrote. `prompt` may hold what the student is allowed to repeat."""
        leaked = any(
            shares_passage(text, private) and not shares_passage(prompt, private) for private in self.private_texts
        )
        self._samples.append(Seen(ends_in_loop(text), leaked, reads_like_refusal(text), truncated))
        return self._judge_texts(step, "student", self._samples)

    def observe_teacher_answer(self, step: int, text: str, truncated: bool) -> list[AlarmRaised]:
        """Take one answer of the teacher that the student is to learn from."""
        self._answers.append(Seen(ends_in_loop(text), False, reads_like_refusal(text), truncated))
        return self._judge_texts(step, "teacher", self._answers)

    def _judge_texts(self, step: int, author: str, seen: deque[Seen]) -> list[AlarmRaised]:
        raised = []
        for rule in SAMPLE_RULES:
            if rule.author != author:
                continue
            num = sum(rule.counts(one) for one in seen)
            holds = rule.counts(seen[-1]) or self._episode(rule.code).is_on
            holds = holds and num >= rule.least_num and num / len(seen) >= rule.least_share
            if self._episode(rule.code).begins(holds):
                raised.append(_alarm(rule, step, f"{num} of the last {len(seen)} {rule.why}"))
        return raised

    def _episode(self, code: str) -> _Episode:
        return self._episodes.setdefault(code, _Episode())


def _alarm(rule: Rule | SampleRule, step: int, why: str) -> AlarmRaised:
    return AlarmRaised(
        code=rule.code,
        severity=rule.severity,
        step=step,
        what=rule.what,
        why=why,
        advice=rule.advice,
        remedies=rule.remedies,
    )
