"""What can be chosen as teacher or student: models on this machine, and paid models from the price data."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from opd.errors import OPDError
from opd.hub_cache import cached_models
from opd.model_files import KNOWN_MODELS, read_facts
from opd.presets import bundled_models
from opd.pricing import catalogue
from opd.store.runs import RunStore


class Choice(BaseModel):
    """Base of the choices: frozen, unknown keys refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, json_schema_serialization_defaults_required=True
    )


class LocalModel(Choice):
    """A causal language model in safetensors form on this machine."""

    id: str
    """What `student.model` and `teacher.model` take: a folder, or a Hugging Face id that is in the cache."""
    path: str
    label: str
    origin: Literal["bundled", "run", "cache"]
    num_parameters: int
    num_bytes: int
    context_length: int
    has_chat_template: bool


class PaidModel(Choice):
    """A chat model with a dated price."""

    id: str
    """What `teacher.model` takes, for example openai/gpt-4o-mini."""
    provider: str
    name: str
    input_usd_per_million: float
    output_usd_per_million: float
    cached_input_usd_per_million: float | None
    """Price of input that the provider has cached; null where it makes no difference."""
    context_tokens: int | None
    price_date: str
    """ISO date of the price data."""
    retires: str | None
    """ISO date on which the provider turns it off, where announced."""
    tiered: bool
    """Long requests cost more a token than these prices."""


def local_models(store: RunStore) -> list[LocalModel]:
    """Bundled models, students of finished runs, and the Hugging Face cache, in that order."""
    found = [_local(path, str(path), label, "bundled") for path, label in bundled_models()]
    finished = [run for run in store if (run.best_path / "config.json").is_file()]
    found += [_local(run.best_path, str(run.best_path), f"Student of {run.run_id}", "run") for run in finished]
    found += [_local(path, model, model, "cache") for model, path in cached_models()]
    return [model for model in found if model is not None]


def suggested_models() -> list[str]:
    """Hugging Face ids in common use, for a picker. Not a limit."""
    return list(KNOWN_MODELS)


def _local(path: Path, model: str, label: str, origin: Literal["bundled", "run", "cache"]) -> LocalModel | None:
    try:
        facts = read_facts(path)
    except (OPDError, OSError, ValueError, KeyError, TypeError):
        return None  # a folder that is no usable model is no choice; preflight says why when it is typed in
    return LocalModel(
        id=model,
        path=str(path),
        label=label,
        origin=origin,
        num_parameters=facts.num_parameters,
        num_bytes=facts.num_bytes,
        context_length=facts.context_length,
        has_chat_template=facts.has_chat_template,
    )


def paid_models() -> list[PaidModel]:
    """Chat models with a known price, by provider."""
    return [PaidModel(**asdict(entry)) for entry in catalogue()]
