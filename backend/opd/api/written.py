"""What a teacher that only answers wrote in a run, for people to read: prompts, marked drafts, what was set aside."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from opd.api.base import ApiModel, RunIdInPath, errors
from opd.api.deps import Studio, get_studio
from opd.errors import InputError, NotFoundError
from opd.store.written import (
    marked_drafts,
    num_refreshes,
    set_aside_answers,
    strike,
    struck_prompts,
    written_prompts,
)

router = APIRouter(prefix="/api/runs", tags=["runs"])
StudioDep = Annotated[Studio, Depends(get_studio)]


class WrittenPrompt(ApiModel):
    """A prompt that the teacher wrote."""

    number: int
    text: str
    struck: bool


class SetAside(ApiModel):
    """A reply that is not trained on."""

    reason: str
    text: str


class Written(ApiModel):
    """What the one-time stages brought."""

    prompts: list[WrittenPrompt]
    removed: dict[str, int]
    """Written prompts that were taken out, by reason: copy, near_copy, held_out, surplus."""
    diversity: dict[str, float]
    """How different the written prompts are; empty where none were written."""
    set_aside: list[SetAside]
    """Answers and prompts that cannot be trained on."""
    may_strike: bool
    """Whether striking still changes anything: the prompts have not been answered yet."""
    num_refreshes: int
    """Rounds of marking so far."""


class Strike(ApiModel):
    """All prompts that are not wanted."""

    numbers: list[Annotated[int, Field(ge=0)]] = Field(max_length=100_000)


class Mark(ApiModel):
    """What the teacher said about one part of a draft."""

    verdict: Literal["keep", "replace", "drop", "add"]
    text: str
    """What should stand there."""


class MarkedDraft(ApiModel):
    """A text of the student, and the teacher's marks on it."""

    prompt: int
    """Number of the training prompt, from 0."""
    text: str
    marks: list[Mark] | None
    """None where the reply could not be read."""
    problem: SetAside | None


class Marked(ApiModel):
    """One round of marking."""

    step: int
    drafts: list[MarkedDraft]


@router.get("/{run_id}/written", operation_id="getWritten", responses=errors(404))
def get_written(run_id: RunIdInPath, studio: StudioDep) -> Written:
    """Prompts that the teacher wrote, and what was set aside. Empty for a run without such stages."""
    path = studio.store.get(run_id).path
    kept, struck = written_prompts(path) or {}, struck_prompts(path)
    problems = [*kept.get("set_aside", []), *set_aside_answers(path)]
    return Written(
        prompts=[
            WrittenPrompt(number=number, text=text, struck=number in struck)
            for number, text in enumerate(kept.get("kept", []))
        ],
        removed={reason: len(texts) for reason, texts in kept.get("removed", {}).items()},
        diversity=kept.get("diversity", {}),
        set_aside=[SetAside(reason=problem["reason"], text=problem["text"]) for problem in problems],
        may_strike=bool(kept) and not (path / "stages" / "text_answers.json").exists(),
        num_refreshes=num_refreshes(path),
    )


@router.put("/{run_id}/written/struck", operation_id="strikeWritten", responses=errors(400, 404))
def strike_written(run_id: RunIdInPath, request: Strike, studio: StudioDep) -> Written:
    """Strike written prompts that are not wanted; those not named are wanted again."""
    before = get_written(run_id, studio)
    if not before.may_strike:
        raise InputError(
            f"The written prompts of run {run_id} are in use already, or there are none.",
            hint="Set expansion.review in a new run: it pauses until you have read them.",
        )
    if any(number >= len(before.prompts) for number in request.numbers):
        raise InputError(f"There are {len(before.prompts)} written prompts, numbered from 0.")
    strike(studio.store.get(run_id).path, request.numbers)
    return get_written(run_id, studio)


@router.get("/{run_id}/marks", operation_id="getMarks", responses=errors(404))
def get_marks(
    run_id: RunIdInPath,
    studio: StudioDep,
    refresh: Annotated[int, Query(ge=0, le=1_000_000, description="Round of marking, from 0.")] = 0,
) -> Marked:
    """The student's drafts of one round, and what the teacher made of them."""
    found = marked_drafts(studio.store.get(run_id).path, refresh)
    if found is None:
        raise NotFoundError(
            f"Run {run_id} has no round {refresh} of marking.", hint="getWritten tells how many there are."
        )
    return Marked(step=found["step"], drafts=[_draft(each) for each in found["drafts"]])


def _draft(kept: dict[str, object]) -> MarkedDraft:
    marks, problem = kept["marks"], kept["problem"]
    return MarkedDraft.model_validate(
        {
            "prompt": kept["prompt"],
            "text": kept["text"],
            "marks": [{"verdict": verdict, "text": text} for verdict, text in marks]
            if isinstance(marks, list)
            else None,
            "problem": problem,
        }
    )
