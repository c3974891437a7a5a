"""The student."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from opd.config.base import Config


class LoraConfig(Config):
    """Low-rank adapters (Hu et al. 2021): train a few million weights instead of all of them."""

    rank: int = Field(32, ge=1, le=1024)
    """Rank of the update. Higher learns more and needs more memory."""
    alpha: int = Field(64, ge=1)
    """Scale of the update; the effective factor is alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of adapter inputs dropped while training. 0 keeps the step deterministic."""


class StudentConfig(Config):
    """The model that is trained."""

    model: str = Field(min_length=1)
    """A folder with a causal language model (safetensors), or a Hugging Face id such as Qwen/Qwen3-0.6B."""
    revision: str | None = None
    """Branch, tag or commit of a Hugging Face id. None takes the default branch."""
    training: Literal["auto", "lora", "full"] = "auto"
    """Which weights learn: adapters (lora), all (full), or full below 1 B parameters where memory allows (auto)."""
    lora: LoraConfig = LoraConfig()
    """Adapter settings; used when training is lora."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the weights while training. auto: bfloat16 on GPUs that support it, else float32."""
