"""What an estimate consists of; the wire and the terminal show these as they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class EstimateModel(BaseModel):
    """Base of the shapes: frozen, unknown keys refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, json_schema_serialization_defaults_required=True
    )


class MemoryPart(EstimateModel):
    """One consumer of memory."""

    name: str
    num_bytes: int


class MemoryEstimate(EstimateModel):
    """Peak memory on the device."""

    parts: list[MemoryPart]
    """Largest first."""
    total_bytes: int
    available_bytes: int
    """What the device has free now."""
    fits: bool
    micro_batch_size: int
    """Completions in memory at once that this is reckoned with."""


class TimeEstimate(EstimateModel):
    """Wall clock of the run, evaluation included."""

    low_s: float
    likely_s: float
    high_s: float
    basis: Literal["measured", "rough"]
    """measured: from an earlier run of this configuration here. rough: from the size of the models."""


class ScenarioRow(EstimateModel):
    """One line of the scenario table."""

    model: str
    num_prompts: int
    num_steps: int
    num_calls: int
    num_tokens: int
    usd: float
    """Exact amount."""
    usd_shown: str
    """The same to the cent, as a person would read it."""


class StageCost(EstimateModel):
    """What one kind of request to a paid teacher will come to."""

    stage: str
    """As the ledger lists it: answers, expansion, marking, guide, scoring or judging."""
    words: str
    """What is asked for."""
    num_requests: int
    """In the likely case, as the tokens."""
    input_tokens: int
    output_tokens: int
    low_usd: float | None
    """Null where the price is not known."""
    likely_usd: float | None
    high_usd: float | None


class Estimate(EstimateModel):
    """Everything that can be said before the start. Memory and time are null where they cannot be told."""

    teacher_is_paid: bool
    """Whether the teacher, or the judge, is paid."""
    low_usd: float | None
    """Dollars for the teacher, beyond what is paid already; null where its price is not known, and where only the
    scenario table was asked for."""
    likely_usd: float | None
    high_usd: float | None
    stages: list[StageCost]
    """The same by what is asked; empty where nothing is paid."""
    every_step_usd: float | None
    """What it would cost to ask the teacher again for every row of every step; only a scoring server is."""
    num_kept: int
    """Answers of this run that were paid before and cost nothing now."""
    num_seen: int
    """Real answers that lengths are reckoned from; 0: they are assumed, and the range is wide."""
    price_problem: str
    """Why there is no price, and what to do; empty where there is one."""
    low_tokens: int
    """Tokens of a paid teacher, input and output together: what a cap in tokens counts."""
    high_tokens: int
    input_tokens: int
    """Tokens sent to a paid teacher in the likely case."""
    output_tokens: int
    num_requests: int
    price_date: str | None
    """ISO date of the price; null where nothing is paid."""
    memory: MemoryEstimate | None
    time: TimeEstimate | None
    assumptions: list[str]
    """Each in a sentence."""
    scenarios: list[ScenarioRow]
    scenario_note: str
    """What the scenario table assumes, and why a real estimate differs."""


ON_THIS_MACHINE = "The teacher runs on this machine: nothing is paid."


@dataclass(frozen=True)
class MoneyEstimate:
    """`figures` are the fields of `Estimate` that are about money, by name."""

    figures: dict[str, Any]
    assumptions: list[str] = field(default_factory=list)
    price_date: str | None = None


def nothing_paid(*assumptions: str) -> MoneyEstimate:
    """A run that costs nothing."""
    return MoneyEstimate(
        {
            "teacher_is_paid": False,
            "low_usd": 0.0,
            "likely_usd": 0.0,
            "high_usd": 0.0,
            "stages": [],
            "every_step_usd": None,
            "num_kept": 0,
            "num_seen": 0,
            "price_problem": "",
            "low_tokens": 0,
            "high_tokens": 0,
            "input_tokens": 0,
            "output_tokens": 0,
            "num_requests": 0,
        },
        list(assumptions),
    )
