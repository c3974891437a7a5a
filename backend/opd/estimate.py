"""What a run will take, before it is started: memory, time, dollars, as ranges with their assumptions."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from opd.config import RunConfig
from opd.store.runs import RunStore


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
    total_bytes: int
    available_bytes: int
    fits: bool
    micro_batch_size: int
    """Completions in memory at once that this is reckoned with."""


class TimeEstimate(EstimateModel):
    """Wall clock of the run, evaluation included."""

    low_s: float
    likely_s: float
    high_s: float
    basis: Literal["measured", "rough"]
    """measured: from earlier runs of these models here. rough: from the size of the models."""


class ScenarioRow(EstimateModel):
    """One line of the scenario table: input price only, a fixed number of tokens a prompt and step."""

    model: str
    num_prompts: int
    num_steps: int
    num_tokens: int
    usd: float
    """Unrounded."""


class Estimate(EstimateModel):
    """Everything that can be said before the start. Parts are null where they cannot be told."""

    teacher_is_paid: bool
    low_usd: float
    likely_usd: float
    high_usd: float
    input_tokens: int
    """Tokens sent to a paid teacher in the likely case."""
    output_tokens: int
    num_requests: int
    price_date: str | None
    memory: MemoryEstimate | None
    time: TimeEstimate | None
    assumptions: list[str]
    """Each in a sentence."""
    scenarios: list[ScenarioRow]
    scenario_note: str


def estimate(config: RunConfig, *, store: RunStore, with_scenarios: bool = False) -> Estimate: ...
def estimate_scenarios() -> Estimate: ...
