"""Changes to a run's configuration when it goes on.

In: a run's folder, and what is to change. Out: a new `config.yaml`, and a line in `amended.json` that says what was
changed and which configuration the run had before. Checkpoints of an earlier one stay usable, and the run is
"continued" from them: never silently the same, never silently another.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from opd.config import RunConfig, parse_config
from opd.store.files import read_json, write_durably, write_json
from opd.store.runs import RunFolder

_FILE = "amended.json"


def amend(folder: RunFolder, change: Mapping[str, Any]) -> RunConfig:
    """Change a run's configuration. Only for who is about to resume it.

    Raises:
        ConfigError: it would not be a configuration; nothing is changed.
    """
    before = folder.config()
    after = parse_config(merged(before.model_dump(mode="json"), change))
    if after.digest() != before.digest():
        line = {"time": time.time(), "digest_before": before.digest(), "change": dict(change)}
        # A kill between the two leaves a line about the configuration that still holds, which does no harm.
        write_json(folder.path / _FILE, [*_lines(folder), line])
        write_durably(folder.path / "config.yaml", after.as_yaml().encode())
    return after


def earlier_digests(folder: RunFolder) -> frozenset[str]:
    """Digests of the configurations that the run had before it was changed."""
    return frozenset(str(line["digest_before"]) for line in _lines(folder))


def merged(settings: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with a change in them, part by part."""
    result = dict(settings)
    for key, value in change.items():
        part = result.get(key)
        result[key] = merged(part, value) if isinstance(part, Mapping) and isinstance(value, Mapping) else value
    return result


def _lines(folder: RunFolder) -> list[dict[str, Any]]:
    return list(read_json(folder.path / _FILE) or [])
