"""What a report says: one typed document, the same for JSON, HTML and Markdown. Its schema is docs/report.schema.json.

In and out: nothing; `report_data.py` fills it from a run folder. Print the schema with
`python -m opd.evaluation.report_model`.
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict

from opd.events import AlarmRaised, EvaluationFinished, VerdictReached

SCHEMA_ID: Literal["opd-report-1"] = "opd-report-1"


class Part(BaseModel):
    """Base of a report's parts: frozen, unknown keys refused, complete when written."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, json_schema_serialization_defaults_required=True
    )


class SeriesPoint(Part):
    """One or several steps of a metric; extremes are kept, so a spike of one step stays visible."""

    first_step: int
    last_step: int
    mean: float | None
    """None where no value could be computed."""
    low: float | None
    high: float | None


class ShownAnswer(Part):
    """One model's answer to a held-out prompt."""

    text: str
    correct: bool | None
    num_tokens: int
    truncated: bool


class ComparedPrompt(Part):
    """One held-out prompt with everyone's answer, by subject (before, sft, after, teacher)."""

    prompt_id: str
    question: str
    expected: str | None
    answers: dict[str, ShownAnswer]


class PromptResult(Part):
    """One held-out prompt in the table of all: share of right answers and mean length by subject."""

    prompt_id: str
    question: str
    """Its first line, shortened."""
    correct: dict[str, float | None]
    num_tokens: dict[str, float]


class Transitions(Part):
    """Held-out prompts by what became of them from before to after."""

    stayed_right: int
    became_right: int
    became_wrong: int
    stayed_wrong: int


class LiveSample(Part):
    """An answer that was recorded while the run went on."""

    step: int
    author: Literal["student", "teacher", "baseline"]
    prompt_id: str
    prompt: str
    text: str
    expected: str | None
    correct: bool | None


class Samples(Part):
    """Answers to read.

    best: became right. worst: became wrong, then still wrong. random: drawn with the run's digest as seed.
    """

    best: list[ComparedPrompt]
    worst: list[ComparedPrompt]
    random: list[ComparedPrompt]
    live: list[LiveSample]


class PhaseTime(Part):
    """Wall time of one phase, interruptions left out."""

    phase: str
    seconds: float


class Costs(Part):
    """What the run took."""

    seconds: float
    phases: list[PhaseTime]
    num_tokens: int | None
    """Completion tokens that the student was trained on."""
    spent_usd: float
    saved_by_cache_usd: float
    num_paid_calls: int


class Report(Part):
    """Everything about one run that a reader needs to believe it, question it and repeat it."""

    format: Literal["opd-report-1"] = SCHEMA_ID
    run_id: str
    name: str
    student: str
    teacher: str
    signal: str
    """What the teacher's signal was, in words."""
    started: str | None
    """UTC, ISO 8601."""
    device: str
    versions: dict[str, str]
    num_prompts: int
    num_test_prompts: int
    steps_done: int
    max_steps: int
    num_resumes: int
    exactness: Literal["exact", "continued"] | None
    """Of the resumes, if there were any: exact repeats every bit."""
    ended: str
    """Why the run ended where it did; empty for a run that reached its verdict."""
    verdict: VerdictReached | None
    evaluations: list[EvaluationFinished]
    transitions: Transitions | None
    series: dict[str, list[SeriesPoint]]
    """Metrics by name, at most 300 points each; other stages' have a prefix, as baseline/loss."""
    samples: Samples
    prompts: list[PromptResult]
    alarms: list[AlarmRaised]
    costs: Costs
    config: dict[str, object]
    config_digest: str
    """SHA-256 of the configuration's canonical JSON form."""
    data_digest: str | None
    """Digest of all prompts; equal digests are equal data."""
    repeat: list[str]
    """Commands that repeat the run."""


def schema_text() -> str:
    """The published JSON Schema (draft 2020-12)."""
    schema = Report.model_json_schema(mode="serialization")
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID, **schema}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")
