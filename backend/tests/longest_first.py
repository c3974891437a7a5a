"""The order of the test files: the longest first, so that no worker begins the longest when the others have finished.

In: the seconds that each file took in the last whole run (`make test` keeps them and names the file in
OPD_TEST_SECONDS). Out: the same tests, file by file. Files that nobody has timed yet go by their markers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

_GUESSES_S = {"e2e": 60.0, "slow": 30.0}
_BY_DEFAULT_S = 1.0


def longest_first(items: Sequence[pytest.Item], seconds: Mapping[str, float]) -> list[pytest.Item]:
    """Whole files by falling duration, their tests in the order they were in."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    return [item for tests in sorted(files.values(), key=lambda tests: -_expected_s(tests, seconds)) for item in tests]


def last_seconds() -> dict[str, float]:
    """By module, as kept by the last whole run; empty if there was none."""
    path = Path(os.environ.get("OPD_TEST_SECONDS", ""))
    found: dict[str, float] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return found


def _expected_s(tests: Sequence[pytest.Item], seconds: Mapping[str, float]) -> float:
    module = tests[0].nodeid.partition("::")[0].removesuffix(".py").replace("/", ".")
    if module in seconds:
        return seconds[module]
    return max((_GUESSES_S.get(mark.name, _BY_DEFAULT_S) for test in tests for mark in test.iter_markers()), default=1)
