"""A judge reads answers that nothing else can check: pairwise in both orders, and by criteria where there are some.

In: what the students answered on the held-out prompts. Out: a `Judgement`, kept in `stages/judged.json`. Every question
goes through the same gateway as a chat teacher's: booked under the run's own cap before it is sent, its answer kept.
A run that is killed here pays for no judgement twice, and one that has its judgement never asks again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from opd.config import JudgeConfig
from opd.evaluation.judge import (
    PAIRWISE_PROMPT,
    RUBRIC_PROMPT,
    AnswerPair,
    Ask,
    Criterion,
    JudgedAgainst,
    Judgement,
    PairScore,
    RubricScore,
    judge_pairs,
    rubric_scores,
)
from opd.evaluation.results import Evaluation
from opd.evaluation.summary import Subject
from opd.pipeline.answers_only.desk import question_of
from opd.pipeline.money import Account
from opd.pipeline.workbench import Workbench
from opd.teachers.base import AnswerSampling
from opd.teachers.chat import Ask as Question
from opd.teachers.chat import ChatApi, endpoint_of, price_of

_REPLY_TOKENS = 1024  # a few sentences and a verdict, or a line for each criterion
_HOW = AnswerSampling(temperature=0, max_tokens=_REPLY_TOKENS)
_BASELINES: tuple[JudgedAgainst, ...] = ("before", "sft")
_STUDENTS: tuple[Subject, ...] = ("before", "sft", "after")


def judge_answers(bench: Workbench, evaluations: Mapping[Subject, Evaluation], keys: Mapping[str, str]) -> Judgement:
    """What the configured judge says of the students' answers; nothing where there is none or nothing to compare.

    Raises:
        BudgetReachedError: the run's cap is reached; what was paid is kept.
        ConfigError, PriceUnknownError, TeacherError: the judge cannot be used as it is.
    """
    judge = bench.config.evaluation.judge
    if not judge.model or "before" not in evaluations or "after" not in evaluations:
        return Judgement()
    kept = bench.results.once("judged", lambda: _ask(bench, judge, evaluations, keys))
    return Judgement(
        judge=judge.model,
        pairs={against: [_pair_score(one) for one in scores] for against, scores in kept["pairs"].items()},
        rubric={who: [RubricScore(**one) for one in scores] for who, scores in kept["rubric"].items()},
    )


def _pair_score(kept: dict[str, Any]) -> PairScore:
    return PairScore(kept["prompt_id"], tuple(kept["choices"]), kept["score"])


def _ask(
    bench: Workbench, judge: JudgeConfig, evaluations: Mapping[Subject, Evaluation], keys: Mapping[str, str]
) -> dict[str, Any]:
    questions = {record.id: question_of(record) for record in bench.prompts.test[: judge.max_prompts]}
    texts = {who: _first_answers(evaluations[who], questions) for who in _STUDENTS if who in evaluations}
    criteria = [Criterion(text) for text in judge.criteria]
    with (
        Account(bench.config, bench.folder, bench.reporter, stages=("judging",)) as account,
        _open(bench, judge, account, keys) as chat,
    ):
        pairs: dict[str, list[dict[str, Any]]] = {}
        for against in (name for name in _BASELINES if name in texts):
            asked = [AnswerPair(i, questions[i], texts["after"][i], texts[against][i]) for i in texts["after"]]
            ask = _asker(bench, chat, PAIRWISE_PROMPT, f"judge: after against {against}")
            pairs[against] = [asdict(score) for score in judge_pairs(ask, asked)]
        rubric: dict[str, list[dict[str, Any]]] = {}
        for who in texts if criteria else ():
            ask = _asker(bench, chat, RUBRIC_PROMPT, f"judge: {who} by criteria")
            answers = [(i, questions[i], text) for i, text in texts[who].items()]
            rubric[who] = [asdict(score) for score in rubric_scores(ask, answers, criteria)]
    return {"pairs": pairs, "rubric": rubric}


def _open(bench: Workbench, judge: JudgeConfig, account: Account, keys: Mapping[str, str]) -> ChatApi:
    return ChatApi.from_config(
        judge,
        price_of(judge, capped_by_tokens=bench.config.budget_tokens is not None),
        purse=account.purse,
        key=keys.get(endpoint_of(judge).key_name),
        watch=account.tell,
        should_stop=lambda: bench.reporter.stop_mode() is not None,
    )


def _asker(bench: Workbench, chat: ChatApi, prompt_version: str, detail: str) -> Ask:
    def ask(prompts: Sequence[str]) -> list[str]:
        bench.reporter.phase("evaluating_after", total=len(prompts), unit="judgements", detail=detail)
        questions = [
            Question(({"role": "user", "content": text},), _HOW, purpose="judge", prompt_version=prompt_version)
            for text in prompts
        ]
        replies = chat.ask(questions, stage="judging", progress=bench.reporter.progress)
        return ["" if reply.problem is not None else reply.text for reply in replies]

    return ask


def _first_answers(evaluation: Evaluation, questions: Mapping[str, str]) -> dict[str, str]:
    return {one.prompt_id: one.text for one in evaluation.answers if one.sample == 0 and one.prompt_id in questions}
