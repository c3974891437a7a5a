"""Which answers a report shows, and the table of all prompts.

In: evaluations by subject. Out: parts of a report. The same results and seed give the same choice.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from opd.evaluation.report_model import ComparedPrompt, LiveSample, PromptResult, Samples, ShownAnswer, Transitions
from opd.evaluation.results import Evaluation, GradedAnswer
from opd.events import SampleRecorded

_NUM_SHOWN = 3
_MAX_QUESTION = 100
T = TypeVar("T")


def choose_samples(results: Mapping[str, Evaluation], live: Iterable[SampleRecorded], seed: str) -> Samples:
    """Best, worst and random held-out prompts, and the answers recorded during the run."""
    by_prompt = {subject: _first_answers(found) for subject, found in results.items()}
    ids = list(by_prompt.get("after") or by_prompt.get("before") or {})

    def moved(before: bool, after: bool) -> list[str]:
        return [
            i
            for i in ids
            if _is_right(by_prompt.get("before"), i) is before and _is_right(by_prompt.get("after"), i) is after
        ]

    shuffled = random.Random(seed)
    drawn = shuffled.sample(ids, min(_NUM_SHOWN, len(ids)))
    best = _drawn(shuffled, moved(False, True)) or _drawn(shuffled, moved(True, True))
    worst = [*_drawn(shuffled, moved(True, False)), *_drawn(shuffled, moved(False, False))][:_NUM_SHOWN]
    return Samples(
        best=[_compared(by_prompt, i) for i in best],
        worst=[_compared(by_prompt, i) for i in worst],
        random=[_compared(by_prompt, i) for i in drawn],
        live=[
            LiveSample(
                step=s.step,
                author=s.author,
                prompt_id=s.prompt_id,
                prompt=clean(s.prompt),
                text=clean(s.text),
                expected=None if s.expected is None else clean(s.expected),
                correct=s.correct,
            )
            for s in live
        ],
    )


def _drawn(shuffled: random.Random, items: Sequence[T]) -> list[T]:
    return shuffled.sample(list(items), min(_NUM_SHOWN, len(items)))


def _first_answers(evaluation: Evaluation) -> dict[str, GradedAnswer]:
    found: dict[str, GradedAnswer] = {}
    for answer in evaluation.answers:
        found.setdefault(answer.prompt_id, answer)
    return found


def _is_right(answers: Mapping[str, GradedAnswer] | None, prompt_id: str) -> bool | None:
    return answers[prompt_id].correct if answers and prompt_id in answers else None


def _compared(by_prompt: Mapping[str, Mapping[str, GradedAnswer]], prompt_id: str) -> ComparedPrompt:
    known = {subject: answers[prompt_id] for subject, answers in by_prompt.items() if prompt_id in answers}
    any_answer = next(iter(known.values()))
    return ComparedPrompt(
        prompt_id=prompt_id,
        question=clean(any_answer.question),
        expected=None if any_answer.expected is None else clean(any_answer.expected),
        answers={
            subject: ShownAnswer(text=clean(a.text), correct=a.correct, num_tokens=a.num_tokens, truncated=a.truncated)
            for subject, a in known.items()
        },
    )


def prompt_table(results: Mapping[str, Evaluation]) -> list[PromptResult]:
    """Every held-out prompt with each subject's share of right answers and mean length."""
    grouped: dict[str, dict[str, list[GradedAnswer]]] = {}
    for subject, evaluation in results.items():
        for answer in evaluation.answers:
            grouped.setdefault(answer.prompt_id, {}).setdefault(subject, []).append(answer)
    return [
        PromptResult(
            prompt_id=prompt_id,
            question=_shortened(next(iter(by_subject.values()))[0].question),
            correct={
                s: _mean(float(a.correct) for a in found if a.correct is not None) for s, found in by_subject.items()
            },
            num_tokens={s: _mean(float(a.num_tokens) for a in found) or 0.0 for s, found in by_subject.items()},
        )
        for prompt_id, by_subject in grouped.items()
    ]


def count_transitions(results: Mapping[str, Evaluation]) -> Transitions | None:
    """What became of the prompts from before to after; None where answers were not graded."""
    if "before" not in results or "after" not in results:
        return None
    before, after = _first_answers(results["before"]), _first_answers(results["after"])
    pairs = [(_is_right(before, i), _is_right(after, i)) for i in after if i in before]
    pairs = [pair for pair in pairs if None not in pair]
    if not pairs:
        return None
    return Transitions(
        stayed_right=pairs.count((True, True)),
        became_right=pairs.count((False, True)),
        became_wrong=pairs.count((True, False)),
        stayed_wrong=pairs.count((False, False)),
    )


def clean(text: str) -> str:
    """Model text without what no document can hold: lone surrogates and control characters other than tab and line."""
    kept = text.encode("utf-8", "replace").decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c if (c >= " " and c != "\x7f") or c in "\n\t" else "\ufffd" for c in kept)


def _shortened(question: str) -> str:
    line = " ".join(clean(question).split())
    return line if len(line) <= _MAX_QUESTION else line[: _MAX_QUESTION - 1] + "…"


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None
