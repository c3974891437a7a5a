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
    across_tokenizers: ClassVar[bool] = True
    type: Literal["divergence"] = "divergence"
    """Match the teacher's whole next-token distribution at every token that the student wrote."""
    beta: float = Field(1.0, ge=0, le=1)
    """0 is forward KL(teacher‖student), 1 is reverse KL(student‖teacher), between them the Jensen-Shannon mixture."""


class TopKForwardObjective(Config):
    """Forward KL over the teacher's likeliest tokens and one bucket for all others."""

    needs: ClassVar[SignalKind] = "topk_logprobs"
    across_tokenizers: ClassVar[bool] = True
    type: Literal["topk_forward_kl"] = "topk_forward_kl"
    """Match the tokens that the teacher finds likeliest, and how much it leaves for the rest: KL(teacher‖student)."""
    top_k: int = Field(20, ge=1, le=1000)
    """Tokens asked for at each position; servers have a limit (vLLM: 20 if not set otherwise)."""


class TopKReverseObjective(Config):
    """Reverse KL over the teacher's likeliest tokens and one bucket for all others."""

    needs: ClassVar[SignalKind] = "topk_logprobs"
    across_tokenizers: ClassVar[bool] = True
    type: Literal["topk_reverse_kl"] = "topk_reverse_kl"
    """Keep the student where the teacher's likeliest tokens are: KL(student‖teacher), with constant weights."""
    top_k: int = Field(20, ge=1, le=1000)
    """Tokens asked for at each position; servers have a limit (vLLM: 20 if not set otherwise)."""


class PolicyGradientObjective(Config):
    """Reverse KL from the sampled tokens alone (Thinking Machines 2025): noisy, for servers that tell nothing more."""

    needs: ClassVar[SignalKind] = "token_logprobs"
    across_tokenizers: ClassVar[bool] = False
    type: Literal["policy_gradient"] = "policy_gradient"
    """Learn from one number a token: how likely the teacher finds what the student wrote. Needs large batches."""


class GoldObjective(Config):
    """TRL's GOLDTrainer (experimental upstream)."""

    needs: ClassVar[SignalKind] = "distribution"
    across_tokenizers: ClassVar[bool] = True
    type: Literal["gold"] = "gold"
    """Train through TRL's GOLDTrainer: slower, kept for comparison and for its users."""
    beta: float = Field(1.0, ge=0, le=1)
    """0 is forward KL, 1 is reverse KL."""


Objective = Annotated[
    DivergenceObjective | TopKForwardObjective | TopKReverseObjective | PolicyGradientObjective | GoldObjective,
    Field(discriminator="type"),
]


def objective_needs() -> dict[str, SignalKind]:
    """Which signal each objective needs: the table that forms and refusals are made from."""
    kinds: tuple[type[Objective], ...] = (
        DivergenceObjective,
        TopKForwardObjective,
        TopKReverseObjective,
        PolicyGradientObjective,
        GoldObjective,
    )
    return {kind.model_fields["type"].default: kind.needs for kind in kinds}
