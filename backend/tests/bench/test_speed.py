"""The whole measurement on a workload of a moment."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from opd.bench.growth import GrowthPoint, measure_growth, read_growth
from opd.bench.lineup import Lineup
from opd.bench.speed import render_markdown, run_speed_bench
from opd.bench.steps import measure_steps, render_steps
from opd.bench.workloads import find_workload
from opd.cli import run
from opd.errors import ConfigError, RunFailedError

MICRO = Path(__file__).parent / "micro.yaml"
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_interpreters")]


def numbers(value: Any) -> Iterator[float]:
    """Every number in a JSON document."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from numbers(part)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


@pytest.mark.timeout(600)
def test_the_report_is_complete() -> None:
    told: list[tuple[int, int, str]] = []
    report = run_speed_bench(MICRO, steps=2, threads=1, progress=lambda *news: told.append(news))
    document = json.loads(json.dumps(report.as_dict()))
    assert all(math.isfinite(number) for number in numbers(document))

    assert set(document["ratios"]) == {"speed_vs_gold", "speed_vs_distillation", "memory_vs_gold"}
    for ratio in document["ratios"].values():
        assert 0 < ratio["min"] <= ratio["median"] <= ratio["max"]
    assert [row["name"] for row in document["rows"]] == ["opd", "gold", "distillation"]
    for row in document["rows"]:
        assert row["peak_memory_bytes"] > 50 * 2**20, "a process with torch in it"
        assert all(row["phases_s"][phase] > 0 for phase in ("rollout", "teacher", "student", "loss", "backward"))
        assert sum(row["phases_s"].values()) <= 2 * row["seconds_per_step"]["max"]
        assert row["tokens_per_s"] == pytest.approx(16 / row["seconds_per_step"]["median"])
    assert document["loss_check"]["relative_difference"] < 1e-5
    assert set(document["loss_check"]["losses"]) == {"opd", "gold", "distillation"}
    assert document["environment"]["threads"] == 1
    assert document["environment"]["packages"]["trl"]
    assert document["roofline"]["gflops"] > 0
    assert told[0][:2] == (0, 2)
    assert told[-1][:2] == (2, 2)

    text = render_markdown(report)
    for expected in ("OPD Studio", "TRL GOLDTrainer", "TRL DistillationTrainer", "speed_vs_gold", "| rollout |"):
        assert expected in text


def test_what_cannot_be_measured_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        run_speed_bench(MICRO, steps=0)
    assert run(["bench", "speed", "--config", "enormous", "--json"]) == 2
    assert "toy, realistic, long-prompt" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert run(["bench", "growth", str(tmp_path), "--redraw"]) == 2
    assert "Measure first" in capsys.readouterr().err


def test_a_contender_that_dies_is_named_with_its_reason(tmp_path: Path) -> None:
    lineup = Lineup({"nobody": ("nobody", find_workload(MICRO))}, device="cpu", threads=1, scratch=tmp_path)
    with pytest.raises(RunFailedError, match=r"nobody ended with code 1.*KeyError: 'nobody'"), lineup:
        pass


def growth(sweeps: dict[str, tuple[int, ...]]) -> list[GrowthPoint]:
    return measure_growth(base=find_workload(MICRO), sweeps=sweeps, largest=(48, 9), steps=1, threads=1)


def test_a_point_of_growth_is_measured_kept_and_drawn(tmp_path: Path) -> None:
    points = growth({})
    assert [(p.sweep, p.vocabulary, p.prompt_tokens, p.rows) for p in points] == [
        ("vocabulary × prompt length", 48, 9, 4)
    ]
    assert all(p.seconds_per_step > 0 and p.peak_memory_bytes > 50 * 2**20 for p in points)
    pytest.importorskip("matplotlib")
    points = [replace(points[0], sweep="vocabulary"), *points]
    (tmp_path / "growth.json").write_text(json.dumps([asdict(point) for point in points]))
    assert read_growth(tmp_path) == points
    assert run(["bench", "growth", str(tmp_path), "--redraw"]) == 0
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


def test_mixed_and_accumulated_steps_are_measured_beside_a_plain_one() -> None:
    costs = measure_steps(MICRO, steps=1, threads=1)
    assert [(cost.on_policy_tokens, cost.micro_batches) for cost in costs] == [
        (16, 1),
        (8, 1),
        (0, 1),
        (16, 2),
        (16, 4),
    ]
    plain, *others = costs
    assert plain.of_plain.median == 1
    assert all(cost.seconds.median > 0 and cost.of_plain.median > 0 for cost in others)
    assert costs[2].rollout_s < plain.rollout_s, "nothing is written where nothing is to be written"
    assert render_steps(costs).count("\n") == len(costs) + 1


@pytest.mark.torture
def test_growth_has_a_point_for_every_value() -> None:
    points = growth({"vocabulary": (32,), "batch": (2,)})
    assert [(p.sweep, p.vocabulary, p.prompt_tokens, p.rows) for p in points] == [
        ("vocabulary", 32, 6, 4),
        ("batch", 64, 6, 2),
        ("vocabulary × prompt length", 48, 9, 4),
    ]
