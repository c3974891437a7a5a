"""Tokens of prompts and completions, from characters and limits: no tokenizer is loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass

from opd.config import RunConfig
from opd.data_loader import DataReport

CHARS_PER_TOKEN = 4
_TEMPLATE_TOKENS = 12
_LIKELY_SHARE = 0.6


@dataclass(frozen=True)
class Lengths:
    """Tokens of prompts and completions that the estimate is made with."""

    prompt: int
    longest_prompt: int
    completion: int
    longest_completion: int


def prompt_lengths(config: RunConfig, report: DataReport) -> Lengths:
    """Tokens of prompts (from their characters) and completions (from the limit)."""
    limit = config.sampling.max_completion_tokens
    return Lengths(
        prompt=math.ceil(report.prompt_chars.mean / CHARS_PER_TOKEN) + _TEMPLATE_TOKENS,
        longest_prompt=math.ceil(report.prompt_chars.maximum / CHARS_PER_TOKEN) + _TEMPLATE_TOKENS,
        completion=max(1, round(limit * _LIKELY_SHARE)),
        longest_completion=limit,
    )
