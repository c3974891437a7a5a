"""The stages around the distillation: warm start, baseline, sampling, checkpoints, evaluation."""

from __future__ import annotations

from pydantic import Field

from opd.config.base import Config
from opd.config.judge import JudgeConfig


class ExpansionConfig(Config):
    """More prompts of the same kind, written by the teacher from a few of yours: a one-time stage."""

    num_prompts: int = Field(0, ge=0, le=100_000)
    """Prompts to add. 0 skips the stage. Copies, near copies and whatever is held out are removed and written anew."""
    review: bool = False
    """Pause when they are written, so that you can read them and strike any; resuming goes on with the rest."""
    per_request: int = Field(5, ge=1, le=50)
    """Prompts asked for in one request. A teacher that replies in lines writes one."""


class AnswersConfig(Config):
    """The teacher's own answers to the training prompts: asked for once and kept for all runs."""

    per_prompt: int = Field(1, ge=1, le=4)
    """Different answers to each prompt. More than one pays where a question has several good answers."""


class WarmStartConfig(Config):
    """A short supervised stage on the teacher's answers before distillation."""

    steps: int = Field(0, ge=0)
    """Optimizer steps of the warm start. 0 skips it; it pays with many prompts and eats steps with few."""
    learning_rate: float = Field(1e-4, gt=0, lt=1)
    """Peak learning rate of the warm start."""
    learning_rates: tuple[float, ...] = ()
    """Candidates; the best on validation prompts is used instead of `learning_rate`. Empty: nothing is tuned."""


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
    checkpoints: int = Field(1, ge=0, le=16)
    """Earlier checkpoints measured too, newest first, so that a run that went too far still gives its best."""
    regression: bool = True
    """Compare how likely good answers to questions outside the task are, before and after; a great loss is a veto."""
    regression_path: str | None = None
    """JSONL file of such prompts with their answers. None: sixteen general questions that come with the product."""
    judge: JudgeConfig = JudgeConfig()
