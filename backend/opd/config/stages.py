"""The stages around the distillation: warm start, baseline, sampling, checkpoints, evaluation."""

from __future__ import annotations

from pydantic import Field

from opd.config.base import Config


class WarmStartConfig(Config):
    """A short supervised stage on the teacher's answers before distillation."""

    steps: int = Field(0, ge=0)
    """Optimizer steps of the warm start. 0 skips it; it pays with many prompts and eats steps with few."""
    learning_rate: float = Field(1e-4, gt=0, lt=1)
    """Peak learning rate of the warm start."""


class BaselineConfig(Config):
    """Plain imitation of the teacher's answers with the same number of steps: what distillation has to beat."""

    enabled: bool = False
    """Train the baseline too and show it in the verdict. Costs about half a run more."""
    learning_rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3)
    """Candidates; the best on validation prompts is used, so that the comparison is honest."""


class SamplingConfig(Config):
    """How the student writes its completions."""

    temperature: float = Field(1.0, gt=0, le=2)
    """1 samples from the student as it is. Anything else is no longer exactly on-policy."""
    top_p: float = Field(1.0, gt=0, le=1)
    """1 keeps all tokens. Anything else is no longer exactly on-policy."""
    max_completion_tokens: int = Field(512, ge=1, le=131072)
    """Longest completion. Longer ones are cut, and counted as truncated."""


class CheckpointConfig(Config):
    """When the run is saved and how much is kept."""

    every_steps: int = Field(50, ge=1)
    """A verified checkpoint each so many steps."""
    keep: int = Field(2, ge=2)
    """Verified checkpoints kept; at least 2, so that a damaged one never costs the run."""


class EvaluationConfig(Config):
    """What is measured on held-out prompts."""

    enabled: bool = True
    """Measure before and after, and give a verdict."""
    max_prompts: int = Field(500, ge=1)
    """Held-out prompts used at most."""
    probe_prompts: int = Field(3, ge=0, le=16)
    """Held-out prompts whose answers are recorded while the run goes on, so that you can read them."""
    probe_every_steps: int = Field(25, ge=1)
    """How often those answers are recorded."""
