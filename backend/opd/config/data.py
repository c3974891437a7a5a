"""The prompts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from opd.config.base import Config


class DataConfig(Config):
    """The prompts, and how they are divided."""

    path: str = Field(min_length=1)
    """JSONL file of chat prompts, one object with `messages` a line."""
    test_path: str | None = None
    """Separate file of held-out prompts. None: `test_fraction` of `path` is held out."""
    test_fraction: float = Field(0.1, ge=0, lt=1)
    """Share of prompts held out for the verdict. Ignored when `test_path` is given."""
    validation_path: str | None = None
    """Separate file on which the baseline's learning rate is chosen. None: a part of the training prompts."""
    answer_match: Literal["none", "exact", "numeric", "last_number", "regex"] = "none"
    """How an answer is checked against the prompt's `answer` field. none: the prompts have no checkable answer."""
    answer_pattern: str | None = None
    """Regular expression whose first group is the answer; needed when answer_match is regex."""

    @model_validator(mode="after")
    def _pattern_goes_with_regex(self) -> DataConfig:
        if (self.answer_match == "regex") != (self.answer_pattern is not None):
            raise ValueError("answer_pattern is needed when answer_match is regex, and only then")
        return self
