"""What a probe has found out, as it travels to a page, a terminal or a run. No network, no files."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from opd.config import SignalKind
from opd.teachers.pair_checks import Status

ANSWERS_ONLY = "answers only: not token-level"


class ProbeRow(BaseModel):
    """One thing that was looked at."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    id: str
    """Stable name of the look."""
    status: Status
    code: str
    """Stable name of what was found."""
    title: str
    detail: str
    """What was found."""
    fix: str
    """What to do; empty when ok."""


class ProbeReport(BaseModel):
    """What a teacher can do for a student."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    finding: str
    """In words, such as "token by token, top-20"; empty where nothing could be found out."""
    signal: SignalKind | None
    """The richest signal that was proven."""
    top_k: int | None
    """Tokens listed at each position, for a scoring server."""
    same_tokenizer: bool | None
    share_of_positions: float | None
    """Across tokenizers: share of positions that get a target, on the probe's texts."""
    rows: list[ProbeRow]
    duration_s: float

    @property
    def ok(self) -> bool:
        """Whether a run may start."""
        return all(row.status != "fail" for row in self.rows)


def listed_words(top_k: int) -> str:
    """The finding for a scoring server that lists so many tokens at each position."""
    return f"token by token, top-{top_k}" if top_k else "token by token, observed token only"


def across_words(share: float) -> str:
    """The finding across tokenizers, where this share of the student's positions gets a target."""
    return f"token by token across tokenizers: {int(100 * share)} % of positions"
