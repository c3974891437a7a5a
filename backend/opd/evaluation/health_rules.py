"""The table of alarms: for each what is tested on the run's past, and the words for a person.

In: a `Trace` of step metrics, or what was seen in texts. Out: why an alarm holds, or None. A rule is a pure function
of the past; episodes and counting are `health.py`'s.

The calibration runs (bundled demo, 119 prompts): reverse KL 1.4 to 0.2 nats/token, entropy 0.4 to 0.1, mean length 24
of at most 40, 0 to 3 % of completions truncated, single steps 30 to 60 % off their neighbours at the beginning.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from opd.evaluation.wording import percent
from opd.events import Remedy

Severity = Literal["info", "warning", "critical"]
_FIRST = 5  # steps whose median is "the beginning"
_RECENT = 20  # steps of the recent past
_IN_A_ROW = 3


@dataclass
class Trace:
    """The past of a run's metrics, as much of it as the rules need."""

    max_completion_tokens: int
    step: int = 0
    now: Mapping[str, float | None] = field(default_factory=dict)
    _first: dict[str, list[float]] = field(default_factory=dict)
    _recent: dict[str, deque[float]] = field(default_factory=dict)

    def add(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """Take the next step. Values that are missing or not finite leave the past as it is."""
        self.step, self.now = step, metrics
        for name, value in metrics.items():
            if value is None or not math.isfinite(value):
                continue
            first = self._first.setdefault(name, [])
            if len(first) < _FIRST:
                first.append(value)
            self._recent.setdefault(name, deque(maxlen=_RECENT + _IN_A_ROW)).append(value)

    def beginning(self, name: str) -> float | None:
        """Median of the first steps, once there are enough of them."""
        first = self._first.get(name, [])
        return median(first) if len(first) >= _FIRST else None

    def last(self, name: str, num: int = _IN_A_ROW) -> list[float]:
        """The last `num` values, or none while there are fewer."""
        recent = self._recent.get(name, deque())
        return list(recent)[-num:] if len(recent) >= num else []

    def before_last(self, name: str, num: int) -> float | None:
        """Median of the recent past without the last `num` values; needs as many as a beginning."""
        earlier = list(self._recent.get(name, deque()))[:-num]
        return median(earlier) if len(earlier) >= _FIRST else None


@dataclass(frozen=True)
class Rule:
    """An alarm on step metrics. `unless`: codes that explain it already when they hold too (listed before it)."""

    code: str
    severity: Severity
    what: str
    advice: str
    test: Callable[[Trace], str | None]
    unless: tuple[str, ...] = ()
    remedies: tuple[Remedy, ...] = ("pause",)


@dataclass(frozen=True)
class Seen:
    """What was seen in one text."""

    looped: bool
    leaked: bool
    refused: bool
    truncated: bool


@dataclass(frozen=True)
class SampleRule:
    """An alarm on texts: so many of the last ones, and such a share of them."""

    code: str
    author: Literal["student", "teacher"]
    severity: Severity
    what: str
    why: str
    advice: str
    counts: Callable[[Seen], bool]
    least_num: int = 3
    least_share: float = 0.25
    remedies: tuple[Remedy, ...] = ("pause",)


def _not_finite(trace: Trace) -> str | None:
    # A loss that could not be computed is logged as None; other metrics may be absent for good reasons.
    bad = [n for n, v in trace.now.items() if (v is None and n == "loss") or (v is not None and not math.isfinite(v))]
    return f"{', '.join(bad)} at step {trace.step} is not a finite number." if bad else None


def _no_end(trace: Trace) -> str | None:
    ended = trace.last("eos_share")
    if not ended or max(ended) > 0:
        return None
    return f"No completion of the last {len(ended)} steps ended by itself; all ran into the limit."


def _truncated(trace: Trace) -> str | None:
    cut = trace.last("truncated_share")
    if not cut or _mean(cut) < 0.3 or min(cut) < 0.15:
        return None
    return (
        f"{percent(_mean(cut))} of the completions of the last {len(cut)} steps hit the limit of "
        f"{trace.max_completion_tokens} tokens."
    )


def _longer(trace: Trace) -> str | None:
    lengths, first = trace.last("completion_tokens/mean"), trace.beginning("completion_tokens/mean")
    if not lengths or first is None or min(lengths) < max(2.0 * first, first + 16):
        return None
    return f"Completions have {_mean(lengths):.0f} tokens on average, {first:.0f} at the beginning."


def _collapsed(trace: Trace) -> str | None:
    """Hardly any randomness left although the student is still far from the teacher.

    Falling entropy is what a sure teacher teaches, so a student that has come near (a quarter of its first reverse KL)
    or whose teacher is about as sure does not count.
    """
    entropy, first = trace.last("entropy"), trace.beginning("entropy")
    if not entropy or first is None or max(entropy) > 0.1 * first or max(entropy) > 0.05:
        return None
    kl, first_kl = trace.last("reverse_kl"), trace.beginning("reverse_kl")
    if kl and first_kl is not None and _mean(kl) <= 0.25 * first_kl:
        return None
    teacher = trace.last("teacher_entropy")
    if teacher and max(entropy) > 0.5 * _mean(teacher):
        return None
    return f"The student's entropy fell from {first:.2g} to {_mean(entropy):.2g} nats per token."


def _spiked(trace: Trace) -> str | None:
    """Two steps in a row at three times the recent past.

    One step says nothing of where the student is: a single completion that lost its way lifts the mean of sixteen
    tenfold, and the next step's completions, drawn anew, know nothing of it.
    """
    last, past = trace.last("reverse_kl", 2), trace.before_last("reverse_kl", 2)
    if not last or past is None or min(last) < max(3.0 * past, past + 0.5):
        return None
    return f"Reverse KL is {last[-1]:.2f} nats per token; it was about {past:.2f} over the steps before."


def _judge_disagrees(trace: Trace) -> str | None:
    reward, judge = trace.last("reward"), trace.last("judge_score")
    first_reward, first_judge = trace.beginning("reward"), trace.beginning("judge_score")
    if not reward or not judge or first_reward is None or first_judge is None:
        return None
    if min(reward) < first_reward + 0.05 or max(judge) > first_judge - 0.05:
        return None
    return (
        f"The trained score rose from {first_reward:.2f} to {_mean(reward):.2f}, while the independent judge's fell "
        f"from {first_judge:.2f} to {_mean(judge):.2f}."
    )


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


_LEARN_SLOWER: tuple[Remedy, ...] = ("pause", "roll_back", "lower_learning_rate")

RULES: tuple[Rule, ...] = (
    Rule(
        "not_finite",
        "critical",
        "A metric is no longer a number.",
        "Roll back to the last checkpoint and resume with a lower learning rate.",
        _not_finite,
        remedies=_LEARN_SLOWER,
    ),
    Rule(
        "eos_never_sampled",
        "critical",
        "The student never ends an answer.",
        "Pause. Check that the end token of the chat template is the one that the model was trained to write; if "
        "answers ended before, roll back and lower the learning rate.",
        _no_end,
        remedies=_LEARN_SLOWER,
    ),
    Rule(
        "truncated",
        "warning",
        "Many completions are cut off.",
        "Read the samples. If the answers are good, raise sampling.max_completion_tokens; if they ramble, roll back "
        "and lower the learning rate.",
        _truncated,
        unless=("eos_never_sampled",),
        remedies=_LEARN_SLOWER,
    ),
    Rule(
        "length_inflation",
        "warning",
        "Completions are getting much longer.",
        "Compare the samples with the teacher's answers. If the teacher is shorter, roll back and lower the learning "
        "rate.",
        _longer,
        unless=("eos_never_sampled", "truncated"),
        remedies=_LEARN_SLOWER,
    ),
    Rule(
        "entropy_collapse",
        "warning",
        "The student says the same thing whatever it is asked.",
        "Roll back and lower the learning rate, or mix in the teacher's answers (a smaller on_policy_fraction).",
        _collapsed,
        remedies=_LEARN_SLOWER,
    ),
    Rule(
        "kl_spike",
        "warning",
        "The student has suddenly moved away from the teacher.",
        "Watch ten more steps. If it does not come back, roll back and lower the learning rate.",
        _spiked,
        remedies=_LEARN_SLOWER,
    ),
    Rule(
        "judge_disagrees",
        "warning",
        "The trained score rises while another judge's falls.",
        "Pause and read the samples: the student may have learned to please the score. Roll back if they got worse.",
        _judge_disagrees,
        remedies=("pause", "roll_back"),
    ),
)

SAMPLE_RULES: tuple[SampleRule, ...] = (
    SampleRule(
        "repetition",
        "student",
        "warning",
        "The student repeats itself.",
        "recorded samples end in a loop.",
        "Read the samples. Roll back and lower the learning rate; a shorter max_completion_tokens limits the damage.",
        lambda seen: seen.looped,
        remedies=_LEARN_SLOWER,
    ),
    SampleRule(
        "leakage",
        "student",
        "critical",
        "The student repeats text that it must not know.",
        "recorded samples hold a passage of the guide, the criteria or a reference answer.",
        "Pause: the answers look better than they are. Take the guide or the references out of the training prompts.",
        lambda seen: seen.leaked,
        least_num=1,
        least_share=0.0,
    ),
    SampleRule(
        "refusals",
        "student",
        "warning",
        "The student refuses to answer.",
        "recorded samples read like a refusal.",
        "Look whether the teacher refuses these prompts too; if so, change the prompts or the teacher.",
        lambda seen: seen.refused,
    ),
    SampleRule(
        "teacher_refusals",
        "teacher",
        "warning",
        "The teacher refuses to answer.",
        "teacher answers read like a refusal; the student would learn it.",
        "Pause. Strike these prompts, change the system message, or take another teacher.",
        lambda seen: seen.refused,
        least_share=0.1,
    ),
    SampleRule(
        "teacher_truncated",
        "teacher",
        "warning",
        "The teacher's answers are cut off.",
        "teacher answers hit the length limit; the student would learn to stop in mid-sentence.",
        "Raise sampling.max_completion_tokens, or ask for shorter answers in the system message.",
        lambda seen: seen.truncated,
        least_share=0.2,
    ),
)
"""Rules on texts; see `HealthMonitor.observe_sample` and `observe_teacher_answer`."""
