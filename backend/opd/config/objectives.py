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
    """TRL's GOLDTrainer (experimental upstream), with the defects of 1.16 repaired."""

    needs: ClassVar[SignalKind] = "distribution"
    across_tokenizers: ClassVar[bool] = True
    type: Literal["gold"] = "gold"
    """Train through TRL's GOLDTrainer: slower, kept for comparison and for its users. Across tokenizers it is
    experimental and can destroy the student: where numbers are divided differently it cannot tell right from wrong."""
    beta: float = Field(1.0, ge=0, le=1)
    """0 is forward KL, 1 is reverse KL."""


class ImitationObjective(Config):
    """Supervised fine-tuning on the teacher's answers, and nothing else; not on-policy."""

    needs: ClassVar[SignalKind] = "text"
    across_tokenizers: ClassVar[bool] = True
    type: Literal["imitation"] = "imitation"
    """Learn the teacher's answers. With many prompts, written ones included, this alone can be enough."""


class MarkObjective(Config):
    """DAgger (Ross et al. 2011, arXiv 1011.0686) with lines or sentences as actions."""

    needs: ClassVar[SignalKind] = "text"
    across_tokenizers: ClassVar[bool] = True
    type: Literal["mark"] = "mark"
    """The teacher marks the student's own drafts part by part; kept and corrected parts are learnt where they stand."""
    refresh_every: int = Field(25, ge=1)
    """Steps after which the student, as it is then, writes new drafts to be marked."""
    drafts: int = Field(128, ge=1, le=65536)
    """Drafts that are marked at each refresh: one request to the teacher each. Best as many as the steps until the next
    refresh take (refresh_every × batch_size × lambda): each is then learnt from once, by the student that wrote it."""
    correction_weight: float = Field(1.0, gt=0, le=100)
    """What a token of a correction counts, beside 1 for a token that was kept."""


class ContrastObjective(Config):
    """ORPO (Hong et al. 2024, arXiv 2403.07691) with the student's own text as the rejected side."""

    needs: ClassVar[SignalKind] = "text"
    across_tokenizers: ClassVar[bool] = True
    type: Literal["contrast"] = "contrast"
    """The teacher's answer should become likelier than what the student writes itself; costs nothing a step."""
    weight: float = Field(0.25, gt=0, le=100)
    """What the preference counts beside the likelihood of the teacher's answer."""


class GuidedObjective(Config):
    """Self-distillation from a copy of the student that sees a guide which the teacher wrote once."""

    needs: ClassVar[SignalKind] = "text"
    across_tokenizers: ClassVar[bool] = True
    type: Literal["guided"] = "guided"
    """Learn to write without a guide as the untrained student writes with it; only where the guide makes it better."""
    beta: float = Field(0.5, ge=0, le=1)
    """0 is forward KL(guided‖student), 1 is reverse KL, between them the Jensen-Shannon mixture."""
    clip: float = Field(1.0, gt=0)
    """Largest divergence of a token, nats; a token above it moves nothing."""


Objective = Annotated[
    DivergenceObjective
    | TopKForwardObjective
    | TopKReverseObjective
    | PolicyGradientObjective
    | GoldObjective
    | MarkObjective
    | ContrastObjective
    | GuidedObjective
    | ImitationObjective,
    Field(discriminator="type"),
]
_OBJECTIVES: tuple[type[Objective], ...] = (
    DivergenceObjective,
    TopKForwardObjective,
    TopKReverseObjective,
    PolicyGradientObjective,
    GoldObjective,
    MarkObjective,
    ContrastObjective,
    GuidedObjective,
    ImitationObjective,
)


def objective_needs() -> dict[str, SignalKind]:
    """Which signal each objective needs: the table that forms and refusals are made from."""
    return {cls.model_fields["type"].default: cls.needs for cls in _OBJECTIVES}
