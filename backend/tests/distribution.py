"""How the tests are spread over workers: what stays together on one, and what is begun first.

The tests of a file share fixtures and stay together. So do all stories of the browser: two browsers at once, beside a
third worker, made pages late on two cores, while one leaves to the others what it does not need when it waits. The
longest is begun first, so that no worker begins it when the others have finished: by the seconds that each file took in
the last whole run (`make test` keeps them and names the file in OPD_TEST_SECONDS), or by markers where nobody has timed
it yet.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

_STORIES = "e2e"
_GUESSES_S = {"e2e": 60.0, "slow": 30.0}
_BY_DEFAULT_S = 1.0


class Scheduling(LoadScopeScheduling):
    """Hands units out in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def unit_of(nodeid: str) -> str:
    """What a test stays together with: its file; for a story of the browser, all of them."""
    file = nodeid.partition("::")[0]
    return _STORIES if _STORIES in file.split("/") else file


def longest_first(items: Sequence[pytest.Item], seconds: Mapping[str, float]) -> list[pytest.Item]:
    """Whole units by falling duration, their tests in the order they were in."""
    units: dict[str, dict[Path, list[pytest.Item]]] = {}
    for item in items:
        units.setdefault(unit_of(item.nodeid), {}).setdefault(item.path, []).append(item)

    def expected_s(unit: dict[Path, list[pytest.Item]]) -> float:
        return sum(_expected_s(tests, seconds) for tests in unit.values())

    in_order = sorted(units.values(), key=expected_s, reverse=True)
    return [item for unit in in_order for tests in unit.values() for item in tests]


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
