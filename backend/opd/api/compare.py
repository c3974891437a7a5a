"""Runs side by side: which settings differ, and how far each metric got."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import JsonValue

from opd.api.base import ApiModel
from opd.store.runs import RunFolder

# Metrics with a better end; others are compared by their last value only.
_BETTER: dict[str, Literal["higher", "lower"]] = {
    "loss": "lower",
    "reverse_kl": "lower",
    "truncated": "lower",
    "tokens_per_s": "higher",
}


class ConfigDifference(ApiModel):
    """One setting that is not the same in all compared runs."""

    path: str
    """Dotted path of the setting."""
    values: dict[str, JsonValue]
    """Value by run id; null where a run has no such setting."""


class MetricEnds(ApiModel):
    """How far one metric got in one run."""

    last: float | None
    best: float | None
    """Null for a metric that has no better end."""
    best_step: int | None


class MetricComparison(ApiModel):
    """One metric over the compared runs."""

    name: str
    better_is: Literal["higher", "lower"] | None
    runs: dict[str, MetricEnds]


def compare_configs(runs: Sequence[RunFolder]) -> list[ConfigDifference]:
    """Settings that differ between the runs, in the order of the configuration."""
    flat = {run.run_id: dict(_leaves(run.config().model_dump(mode="json"))) for run in runs}
    paths = list(dict.fromkeys(path for leaves in flat.values() for path in leaves))
    differences = []
    for path in paths:
        values = {run_id: leaves.get(path) for run_id, leaves in flat.items()}
        if any(value != next(iter(values.values())) for value in values.values()):
            differences.append(ConfigDifference(path=path, values=values))
    return differences


def compare_metrics(runs: Sequence[RunFolder]) -> list[MetricComparison]:
    """Last and best value of every metric that at least one of the runs logged."""
    found: dict[str, dict[str, MetricEnds]] = {}
    for run in runs:
        with run.reader() as reader:
            for name in reader.metric_names():
                better = _BETTER.get(name)
                last, best, best_step = reader.ends(name, highest=better == "higher")
                found.setdefault(name, {})[run.run_id] = MetricEnds(
                    last=last, best=best if better else None, best_step=best_step if better else None
                )
    return [MetricComparison(name=name, better_is=_BETTER.get(name), runs=found[name]) for name in sorted(found)]


def _leaves(value: JsonValue, path: str = "") -> Iterator[tuple[str, JsonValue]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else key)
    else:
        yield path, value
