"""A language model as judge: pairwise preference, blind and in both orders, and rubric scores.

In: `ask`, which sends prompts to the judge and returns their replies in order; questions and answers. Out: scores by
prompt. Knows nothing of providers, caches or budgets: `ask` may answer from a cache and raises when the budget is
reached.

A judge that prefers a position says so by contradicting itself when the answers are swapped; a pair is won only if it
wins in both orders, so a judge that always names the first answer gives 100 % ties. The instructions lie in
`prompts/*.v1.md`; a changed text gets a new version number, because it makes earlier judgements incomparable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib.resources import files
from string import Template
from typing import Literal

PAIRWISE_PROMPT = "pairwise.v1"
RUBRIC_PROMPT = "rubric.v1"
Ask = Callable[[Sequence[str]], Sequence[str]]
JudgedAgainst = Literal["before", "sft"]
Choice = Literal["candidate", "baseline", "tie"]
_VERDICT = re.compile(r"VERDICT: (1|2|TIE)")
_CRITERION = re.compile(r"CRITERION ([0-9]+): (MET|NOT MET)")


@dataclass(frozen=True)
class AnswerPair:
    """Two answers to one request; the judge learns neither names nor origin."""

    prompt_id: str
    question: str
    candidate: str
    baseline: str


@dataclass(frozen=True)
class PairScore:
    """What the judge said about a pair.

    `choices`: with the candidate first, then with the baseline first; None where its answer could not be read.
    `score`: 1 the candidate won both, 0 the baseline did, 0.5 anything else; None where a choice is missing.
    """

    prompt_id: str
    choices: tuple[Choice | None, Choice | None]
    score: float | None


@dataclass(frozen=True)
class JudgeRecord:
    """How a judge judged: shares of the readable pairs, and what tells whether to trust it.

    `first_share`: of single decisions other than ties, how many named the answer that came first (0.5 is unbiased).
    """

    num_pairs: int
    num_unreadable: int
    won: float
    tied: float
    lost: float
    first_share: float | None


@dataclass(frozen=True)
class RubricScore:
    """The weighted share of criteria that one answer meets, 0..1; None where the judge's reply could not be read."""

    prompt_id: str
    score: float | None


@dataclass(frozen=True)
class Judgement:
    """Everything that a judge said in a run.

    `pairs`: the student after training against each baseline's answers; `rubric`: each student's answers by criteria.
    """

    judge: str = ""
    pairs: Mapping[JudgedAgainst, Sequence[PairScore]] = field(default_factory=dict)
    rubric: Mapping[str, Sequence[RubricScore]] = field(default_factory=dict)


@dataclass(frozen=True)
class Criterion:
    """One thing that a good answer does; `weight` relative to the others."""

    text: str
    weight: float = 1.0


def judge_pairs(ask: Ask, pairs: Sequence[AnswerPair]) -> list[PairScore]:
    """All pairs in both orders. Equal answers are a tie that needs no judge."""
    open_pairs = [pair for pair in pairs if not _are_equal(pair)]
    prompts = [
        pairwise_prompt(pair.question, first, second)
        for pair in open_pairs
        for first, second in ((pair.candidate, pair.baseline), (pair.baseline, pair.candidate))
    ]
    replies = iter(ask(prompts) if prompts else ())
    return [
        PairScore(pair.prompt_id, ("tie", "tie"), 0.5)
        if _are_equal(pair)
        else _read_pair(pair.prompt_id, next(replies), next(replies))
        for pair in pairs
    ]


def _are_equal(pair: AnswerPair) -> bool:
    return pair.candidate.strip() == pair.baseline.strip()


def _read_pair(prompt_id: str, forth_reply: str, back_reply: str) -> PairScore:
    forth = _choice(forth_reply, ("candidate", "baseline"))
    back = _choice(back_reply, ("baseline", "candidate"))
    if forth is None or back is None:
        return PairScore(prompt_id, (forth, back), None)
    score = {"candidate": 1.0, "baseline": 0.0, "tie": 0.5}[forth] if forth == back else 0.5
    return PairScore(prompt_id, (forth, back), score)


def record(scores: Sequence[PairScore]) -> JudgeRecord:
    """How the judge behaved over all pairs. Pairs of equal answers, which it never saw, count as ties."""
    readable = [s.score for s in scores if s.score is not None]
    named_first = [
        choice == first
        for s in scores
        for choice, first in zip(s.choices, ("candidate", "baseline"), strict=True)
        if choice not in (None, "tie")
    ]
    num = len(readable)
    return JudgeRecord(
        num_pairs=len(scores),
        num_unreadable=len(scores) - num,
        won=readable.count(1.0) / num if num else 0.0,
        tied=readable.count(0.5) / num if num else 0.0,
        lost=readable.count(0.0) / num if num else 0.0,
        first_share=sum(named_first) / len(named_first) if named_first else None,
    )


def rubric_scores(
    ask: Ask, answers: Sequence[tuple[str, str, str]], criteria: Sequence[Criterion]
) -> list[RubricScore]:
    """Answers by criteria.

    Args:
        answers: (prompt id, question, answer).

    Raises:
        ValueError: there is no criterion with a positive weight.
    """
    total = sum(criterion.weight for criterion in criteria)
    if total <= 0:
        raise ValueError("A rubric needs at least one criterion with a positive weight.")
    replies = ask([rubric_prompt(question, answer, criteria) for _, question, answer in answers])
    found = [_met(reply, len(criteria)) for reply in replies]
    return [
        RubricScore(prompt_id, None if met is None else _weight_met(met, criteria) / total)
        for (prompt_id, _, _), met in zip(answers, found, strict=True)
    ]


def _weight_met(met: Sequence[bool], criteria: Sequence[Criterion]) -> float:
    return sum(criterion.weight for criterion, is_met in zip(criteria, met, strict=True) if is_met)


def pairwise_prompt(question: str, first: str, second: str) -> str:
    """The whole prompt of one pairwise judgement."""
    mark = _mark(question, first, second)
    return _template(PAIRWISE_PROMPT).substitute(question=question, first=first, second=second, mark=mark)


def rubric_prompt(question: str, answer: str, criteria: Sequence[Criterion]) -> str:
    """The whole prompt of one rubric judgement."""
    listed = "\n".join(f"{number}. {criterion.text}" for number, criterion in enumerate(criteria, 1))
    mark = _mark(question, answer, listed)
    return _template(RUBRIC_PROMPT).substitute(question=question, answer=answer, criteria=listed, mark=mark)


def _choice(reply: str, order: tuple[Choice, Choice]) -> Choice | None:
    """The verdict on the last line; anything else is unreadable, never guessed."""
    lines = [line.strip().strip("*`") for line in reply.strip().splitlines()]
    found = _VERDICT.fullmatch(lines[-1]) if lines else None
    if not found:
        return None
    return "tie" if found[1] == "TIE" else order[int(found[1]) - 1]


def _met(reply: str, num: int) -> list[bool] | None:
    found = [_CRITERION.fullmatch(line.strip().strip("*`")) for line in reply.strip().splitlines() if line.strip()]
    if len(found) != num or not all(f and int(f[1]) == number for number, f in enumerate(found, 1)):
        return None
    return [f[2] == "MET" for f in found if f]


def _mark(*texts: str) -> str:
    """A marker that the texts cannot hold, because it depends on them; the same texts give the same prompt."""
    return sha256("\x00".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:12]


@cache
def _template(name: str) -> Template:
    return Template(files("opd.evaluation").joinpath("prompts", f"{name}.md").read_text(encoding="utf-8"))
