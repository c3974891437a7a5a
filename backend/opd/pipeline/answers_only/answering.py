"""The teacher's answers to all training prompts, asked for once; what must not be trained on is set aside.

In: a workbench. Out: one whose training prompts are those with an answer, a row for each answer, and the answers as
the student would have to write them. Kept in `stages/text_answers.json`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from opd.pipeline.answers_only.desk import NothingWrittenError, chat_of, set_aside_words, tell
from opd.pipeline.workbench import Workbench
from opd.teachers.base import Answer, AnswerSampling
from opd.teachers.chat import Ask
from opd.teachers.tasks.asking import SetAside
from opd.training.decoding import Completion

_PROBED = 3


def answer(bench: Workbench) -> tuple[Workbench, list[Completion]]:
    """The run with a row for every usable answer, and the answers in the rows' order.

    Raises:
        NothingWrittenError: no usable answer among the first few, or at all.
        BudgetReachedError, TeacherError: from asking.
    """
    kept = bench.results.once("text_answers", lambda: _ask(bench))
    rows = [(row["prompt"], Completion(tuple(row["ids"]), True)) for row in kept["rows"]]
    problems = [SetAside(problem["reason"], problem["text"]) for problem in kept["set_aside"]]
    if not rows:
        raise _nothing(problems)
    num_prompts = len({prompt for prompt, _ in rows})
    per_prompt = f", {len(rows):,} answers" if len(rows) != num_prompts else ""
    words = f"The teacher answered {num_prompts:,} prompts{per_prompt}.{set_aside_words(problems)}"
    tell(bench, "answers", words, answers=len(rows), set_aside=len(problems))
    train = [bench.prompts.train[prompt] for prompt, _ in rows]
    answered = replace(
        bench, prompts=replace(bench.prompts, train=train), train_ids=[bench.train_ids[prompt] for prompt, _ in rows]
    )
    return answered, [completion for _, completion in rows]


def _ask(bench: Workbench) -> dict[str, Any]:
    sampling, records, teacher = bench.config.sampling, bench.prompts.train, chat_of(bench)
    how = AnswerSampling(temperature=sampling.temperature, max_tokens=sampling.max_completion_tokens)
    asked = [(index, sample) for sample in range(bench.config.answers.per_prompt) for index in range(len(records))]
    asks = [Ask(tuple(records[index].messages), how, sample=sample) for index, sample in asked]
    bench.reporter.phase("answering", total=len(asks), unit="answers")
    probe = teacher.chat.ask(asks[:_PROBED], stage="answers")
    if all(found.problem is not None for found in probe):
        raise _nothing([SetAside(found.reason or str(found.problem), found.text) for found in probe])
    answers = [*probe, *teacher.chat.ask(asks[_PROBED:], stage="answers", progress=bench.reporter.progress)]
    rows, problems = list[dict[str, Any]](), list[dict[str, Any]]()
    for (index, _), found in zip(asked, answers, strict=True):
        ids, problem = _usable(bench, found)
        if problem is None:
            rows.append({"prompt": index, "ids": ids})
        else:
            problems.append({"prompt": index, "reason": problem, "text": found.text})
    return {"rows": rows, "set_aside": problems}


def _usable(bench: Workbench, found: Answer) -> tuple[list[int], str | None]:
    """Token ids of an answer, or why it cannot be trained on."""
    if found.problem is not None:
        return [], found.reason or found.problem
    most = bench.config.sampling.max_completion_tokens
    completion = chat_of(bench).as_completion(found.text.strip(), most)
    if not completion.finished:
        return [], f"longer than the {most} tokens that the student may write"
    return list(completion.ids), None


def _nothing(problems: list[SetAside]) -> NothingWrittenError:
    reasons = sorted({problem.reason for problem in problems})
    return NothingWrittenError(
        f"None of {len(problems)} answers of the teacher can be trained on: {'; '.join(reasons[:3])}.",
        hint="Check the model's name and sampling.max_completion_tokens, and read one of its answers.",
    )
