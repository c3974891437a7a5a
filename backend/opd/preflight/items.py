"""One thing that was looked at, for pages and terminals."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

Status = Literal["ok", "warn", "fail"]


class PreflightItem(BaseModel):
    """One thing that was looked at."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, json_schema_serialization_defaults_required=True
    )

    id: str
    """Stable name, such as student, data or memory."""
    status: Status
    title: str
    detail: str
    """What was found."""
    fix: str
    """What to do; empty when ok."""
    code: str = ""
    """Stable name of what was found, where the teacher's probe has one."""


class Finding(NamedTuple):
    """What one look found."""

    status: Status
    detail: str
    fix: str = ""


def count(number: int) -> str:
    """A number of parameters: 1.7 B."""
    for size, word in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f} {word}"
    return str(number)


def gigabytes(num_bytes: int) -> str:
    """A size of memory or disk: 3.4 GB."""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 5e7 else f"{num_bytes / 1e6:.0f} MB"
