"""What is ready and what is not, before a run: looked at in a second, without loading a model."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from opd.config import RunConfig
from opd.store.runs import RunStore


class PreflightItem(BaseModel):
    """One thing that was looked at."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, json_schema_serialization_defaults_required=True
    )

    id: str
    """Stable name, such as student, data or memory."""
    status: Literal["ok", "warn", "fail"]
    title: str
    detail: str
    """What was found."""
    fix: str
    """What to do; empty when ok."""


def preflight(config: RunConfig, *, store: RunStore) -> list[PreflightItem]:
    return []
