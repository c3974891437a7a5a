"""What the optimizer can lower, and the signal that each objective needs.

A new objective is a class here, a member of `Objective`, and a pure function in `opd/objectives/`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from opd.config.base import Config, SignalKind


class DivergenceObjective(Config):
    """Generalized Jensen-Shannon divergence over the whole vocabulary (Agarwal et al. 2023, arXiv 2306.13649)."""

    needs: ClassVar[SignalKind] = "distribution"
    type: Literal["divergence"] = "divergence"
    """Match the teacher's whole next-token distribution at every token that the student wrote."""
    beta: float = Field(1.0, ge=0, le=1)
    """0 is forward KL(teacher‖student), 1 is reverse KL(student‖teacher), between them the Jensen-Shannon mixture."""


class GoldObjective(Config):
    """TRL's GOLDTrainer (experimental upstream)."""

    needs: ClassVar[SignalKind] = "distribution"
    type: Literal["gold"] = "gold"
    """Train through TRL's GOLDTrainer: slower, kept for comparison and for its users."""
    beta: float = Field(1.0, ge=0, le=1)
    """0 is forward KL, 1 is reverse KL."""


Objective = Annotated[DivergenceObjective | GoldObjective, Field(discriminator="type")]


def objective_needs() -> dict[str, SignalKind]:
    """Which signal each objective needs: the table that forms and refusals are made from."""
    return {cls.model_fields["type"].default: cls.needs for cls in (DivergenceObjective, GoldObjective)}
