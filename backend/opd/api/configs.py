"""Configurations before they become runs: their schema, presets, checks and the pre-flight."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import Field, JsonValue, ValidationError

from opd.api.base import ApiModel, errors
from opd.api.deps import Studio, get_studio
from opd.config import (
    RunConfig,
    SignalKind,
    field_errors,
    objective_needs,
    read_yaml,
    teacher_provides,
    usual_objectives,
)
from opd.machine import find_device
from opd.preflight import PreflightItem, preflight
from opd.presets import Preset, presets

router = APIRouter(prefix="/api", tags=["config"])
StudioDep = Annotated[Studio, Depends(get_studio)]


class ConfigSchema(ApiModel):
    """Everything a form needs: fields, help, ranges, defaults, presets."""

    json_schema: dict[str, JsonValue]
    """JSON Schema of a run configuration; descriptions are the help texts."""
    defaults: dict[str, JsonValue]
    """Values of all settings that have a default."""
    presets: list[Preset]
    demo: RunConfig | None
    """The bundled distillation as a configuration; null where its models are not installed."""
    objective_needs: dict[str, SignalKind]
    teacher_provides: dict[str, list[SignalKind]]
    usual_objectives: dict[str, str]
    """The objective to begin with, by kind of teacher."""


class UncheckedConfig(ApiModel):
    """A configuration that may be wrong or unfinished."""

    config: dict[str, JsonValue]


class ConfigText(ApiModel):
    """A configuration as YAML, such as a run's `config.yaml` or what "Copy as YAML" gave."""

    yaml: str = Field(max_length=100_000)


class FieldProblem(ApiModel):
    """One setting that cannot be used, without its value."""

    path: str
    """Dotted path; (whole configuration) where settings do not go together."""
    message: str


class ConfigCheck(ApiModel):
    """Whether a configuration can be used."""

    ok: bool
    fields: list[FieldProblem]
    """Empty when ok."""
    config: RunConfig | None
    """The completed configuration, when ok."""
    yaml: str
    """The same as YAML, for `opd train`; empty when not ok."""


class PreflightRequest(ApiModel):
    """The configuration to look at."""

    config: RunConfig


class Preflight(ApiModel):
    """What is ready and what is not, before a run."""

    items: list[PreflightItem]
    ok: bool
    """No item failed."""


@router.get("/config/schema", operation_id="getConfigSchema", responses=errors())
def get_config_schema(studio: StudioDep) -> ConfigSchema:
    """Schema, defaults and presets of a run configuration."""
    return ConfigSchema(
        json_schema=RunConfig.model_json_schema(mode="validation"),
        defaults=_defaults(),
        presets=presets(find_device()),
        demo=studio.demo_config_or_none(),
        objective_needs=objective_needs(),
        teacher_provides={kind: list(signals) for kind, signals in teacher_provides().items()},
        usual_objectives=usual_objectives(),
    )


@router.post("/config/check", operation_id="checkConfig", responses=errors())
def check_config(request: UncheckedConfig) -> ConfigCheck:
    """Check a configuration and complete it. Loads nothing, starts nothing."""
    try:
        config = RunConfig.model_validate(request.config)
    except ValidationError as error:
        fields = [FieldProblem(path=found["path"], message=found["message"]) for found in field_errors(error)]
        return ConfigCheck(ok=False, fields=fields, config=None, yaml="")
    return ConfigCheck(ok=True, fields=[], config=config, yaml=config.as_yaml())


@router.post("/config/read", operation_id="readConfig", responses=errors(400))
def read_config(request: ConfigText) -> ConfigCheck:
    """Read a configuration from YAML and check it. Loads nothing, starts nothing."""
    return check_config(UncheckedConfig(config=read_yaml(request.yaml, "The text")))


@router.post("/preflight", operation_id="preflight", responses=errors(400))
def run_preflight(request: PreflightRequest, studio: StudioDep) -> Preflight:
    """Look at models, data, disk, memory and device before a run. Starts nothing."""
    items = preflight(request.config, store=studio.store)
    return Preflight(items=items, ok=all(item.status != "fail" for item in items))


def _defaults() -> dict[str, Any]:
    config = RunConfig.model_validate(
        {"student": {"model": "-"}, "teacher": {"type": "local", "model": "-"}, "data": {"path": "-"}}
    )
    values = config.model_dump(mode="json")
    for section, field in (("student", "model"), ("teacher", "model"), ("data", "path")):
        del values[section][field]
    return values
