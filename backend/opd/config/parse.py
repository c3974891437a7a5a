"""Mappings and YAML files to a `RunConfig`; what cannot be used is named by its field path, never by its value."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import JsonValue, TypeAdapter, ValidationError

from opd.config.objectives import objective_needs
from opd.config.run import RunConfig
from opd.config.teachers import LocalTeacher, teacher_provides
from opd.errors import ConfigError

# What may be repeated of a key that we do not know: a typo, but not a secret in the wrong place.
_FIELD_NAME = re.compile(r"[A-Za-z0-9_]{1,40}")
_SETTINGS = TypeAdapter(dict[str, JsonValue])


class _PlainLoader(yaml.SafeLoader):
    """Without aliases, a few lines of which can stand for gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # PyYAML's stubs leave it untyped
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not taken", problem_mark=mark)
        return super().compose_node(parent, index)


def parse_config(data: Mapping[str, Any]) -> RunConfig:
    """Check a mapping and complete it.

    Raises:
        ConfigError: with one line per field path, and without echoing the values (they may hold secrets).
    """
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        fields = field_errors(error)
        lines = "\n".join(f"  {f['path']}: {f['message']}" for f in fields)
        count = f"{len(fields)} setting{'s' if len(fields) > 1 else ''}"
        raise ConfigError(
            f"{count} of this configuration cannot be used:\n{lines}",
            hint="Correct them and start again; nothing was started. See docs/cli.md or `opd train --help`.",
            details={"fields": fields},
        ) from None


def field_errors(error: ValidationError) -> list[dict[str, str]]:
    """Field paths and messages of a validation error, never the values."""
    return describe_problems(error.errors(include_input=False, include_url=False))


def describe_problems(
    items: Sequence[Mapping[str, Any]], *, skip: int = 0, whole: str = "(whole configuration)"
) -> list[dict[str, str]]:
    """Pydantic's error items as {path, message, type}, without anything that was sent.

    Args:
        skip: leading parts of each location that are no field (FastAPI's "body" or "query").
        whole: the path where fields do not go together.
    """
    found = []
    for item in items:
        message = str(item["msg"]).removeprefix("Value error, ")
        if item["type"] == "union_tag_invalid":  # the original quotes the value
            message = f"type should be one of {item['ctx']['expected_tags']}"
        found.append({"path": _field_path(item["loc"][skip:]) or whole, "message": message, "type": str(item["type"])})
    return found


def _field_path(location: Sequence[int | str]) -> str:
    """Dotted path; the kind of teacher or objective, which pydantic puts in, is no field and is left out."""
    parts: list[str] = []
    for part in location:
        above = parts[-1] if parts else ""
        tags = [*teacher_provides()] if above == "teacher" else [*objective_needs()] if above == "objective" else []
        if part not in tags:
            parts.append(str(part) if _FIELD_NAME.fullmatch(str(part)) else "(unknown key)")
    return ".".join(parts)


def load_config(path: str | Path) -> RunConfig:
    """Read a YAML (or JSON) file. Relative paths inside it are taken from the file's own folder.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds settings that cannot be used.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"Cannot read {file}: {error.strerror}.", hint="Give the path of a YAML file.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8 text: {error}", hint="See examples/local.yaml.") from None
    return resolve_paths(parse_config(read_yaml(text, str(file))), file.resolve().parent)


def read_yaml(text: str, name: str) -> dict[str, Any]:
    """Settings from YAML (or JSON), unchecked.

    Args:
        name: what to call the text in messages.

    Raises:
        ConfigError: it is not YAML, or no mapping of what JSON can say too.
    """
    help_ = "See examples/local.yaml."
    try:
        data = _PlainLoader(text).get_single_data()
    except (yaml.YAMLError, ValueError) as error:  # such as a date in month 13, which the parser does not catch
        raise ConfigError(f"{name} is not valid YAML: {error}.", hint=help_) from None
    except RecursionError:
        raise ConfigError(f"{name} is nested too deeply for a configuration.", hint=help_) from None
    if not isinstance(data, dict):
        raise ConfigError(f"{name} holds {type(data).__name__}, expected a mapping of settings.", hint=help_)
    try:
        return _SETTINGS.validate_python(data, strict=True)
    except ValidationError as error:
        place = ".".join(part for part in map(str, error.errors()[0]["loc"]) if _FIELD_NAME.fullmatch(part))
        raise ConfigError(
            f"{name} has a name or a value that is neither text nor number, list or mapping"
            + (f", at {place}." if place else "."),
            hint="Put names and dates in quotes.",
        ) from None


def resolve_paths(config: RunConfig, base: Path) -> RunConfig:
    """Make relative data and model paths absolute where they exist below `base`; ids are left as they are."""

    def absolute(value: str | None) -> str | None:
        if value is None:
            return None
        candidate = base / os.path.expanduser(value)
        return str(candidate.resolve()) if os.path.exists(candidate) else value

    data = config.data.model_copy(
        update={key: absolute(getattr(config.data, key)) for key in ("path", "test_path", "validation_path")}
    )
    update: dict[str, Any] = {
        "data": data,
        "student": config.student.model_copy(update={"model": absolute(config.student.model)}),
        "evaluation": config.evaluation.model_copy(
            update={"regression_path": absolute(config.evaluation.regression_path)}
        ),
    }
    if isinstance(config.teacher, LocalTeacher):
        update["teacher"] = config.teacher.model_copy(update={"model": absolute(config.teacher.model)})
    return config.model_copy(update=update)
