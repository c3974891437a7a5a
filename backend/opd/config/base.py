"""What all settings have in common, and the kinds of signal that teachers give and objectives need."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

SignalKind = Literal["distribution", "topk_logprobs", "token_logprobs", "text"]

SIGNAL_WORDS: dict[SignalKind, str] = {
    "distribution": "full next-token distribution",
    "topk_logprobs": "top-k log-probabilities",
    "token_logprobs": "log-probabilities of the sampled tokens",
    "text": "answers (text)",
}


class Config(BaseModel):
    """Base of all settings: frozen, unknown keys refused, field docstrings kept as help."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, json_schema_serialization_defaults_required=True
    )
