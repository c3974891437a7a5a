"""The files of the bench: a table fills over many days, and docs/methods-benchmark.md says what its JSON says."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from opd.bench.methods.catalogue import ROWS
from opd.bench.methods.document import NAME, document, filled, merged, pictures, write
from opd.bench.methods.table import Line, fill
from opd.bench.methods.trials import Outcome
from opd.errors import ConfigError

DOCS = Path(__file__).resolve().parents[3] / "docs"


def lines(share: float, *names: str) -> list[Line]:
    right = {f"prompt {i}": float(i < 50 * share) for i in range(50)}
    found = Outcome(right, reverse_kl=0.5, teacher_tokens=1_234, usd=0.0, seconds=9.0)
    return [fill(row, [found]) for row in ROWS if row.name in names]


def test_the_documentation_says_what_its_json_says() -> None:
    """`opd bench methods --out docs` writes all three; none may be changed by hand alone."""
    found = json.loads((DOCS / f"{NAME}.json").read_text("utf-8"))
    page = (DOCS / f"{NAME}.md").read_text("utf-8")
    assert filled(page, found) == page
    for row in found["rows"]:
        assert f"`{row['method']}`" in page
    for name, text in pictures(page, found).items():
        assert (DOCS / name).read_text("utf-8") == text


def test_the_documentations_rows_are_what_opd_bench_methods_prints_as_json() -> None:
    rows = json.loads((DOCS / f"{NAME}.json").read_text("utf-8"))["rows"]
    wanted = {"method", "exact_match", "reverse_kl", "teacher_tokens", "usd", "seconds", "seeds"}
    assert rows
    for row in [*rows, *document(lines(0.5, "start", "many_prompts"), 1)["rows"]]:
        assert wanted <= row.keys(), row["method"]
        assert set(row["exact_match"]) == {"mean", "low", "high"}
        assert 0 <= row["exact_match"]["low"] <= row["exact_match"]["mean"] <= row["exact_match"]["high"] <= 1
        assert row["seeds"] >= 1
        assert row["usd"] >= 0


def test_a_table_fills_row_by_row(tmp_path: Path) -> None:
    write(document(lines(0.2, "start", "sft"), 1), tmp_path)
    write(document(lines(0.2, "full_distribution"), 1), tmp_path)
    page = (tmp_path / f"{NAME}.md").read_text("utf-8")
    assert "## Teachers that score tokens" in page
    assert "## Teachers with text only" not in page, "nothing but what all groups have"
    (tmp_path / f"{NAME}.md").write_text(f"{page}\nWhat a person wrote.\n", "utf-8")
    paths = write(document(lines(0.8, "sft", "full_distribution"), 1), tmp_path)
    found = json.loads(paths[0].read_text("utf-8"))
    assert [(row["method"], row["exact_match"]["mean"]) for row in found["rows"]] == [
        ("start", 0.2), ("sft", 0.8), ("full_distribution", 0.8),
    ]  # fmt: skip
    page = paths[1].read_text("utf-8")
    assert page.endswith("What a person wrote.\n")
    assert page.count("`sft` imitation") == 2, "a row of several groups stands in each that was measured"
    assert "`full_distribution` − `sft` | **+0.0**" in page
    assert [path.stem.rpartition("-")[2] for path in paths[2:]] == ["logit", "regime"]
    for picture in paths[2:]:
        assert "full distribution" in "".join(ET.fromstring(picture.read_text("utf-8")).itertext())  # noqa: S314  # ours


def test_a_difference_goes_when_one_of_its_rows_is_measured_anew() -> None:
    older = document(lines(0.2, "sft", "full_distribution"), 1)
    assert [one["than"] for one in older["differences"]] == ["sft"]
    assert merged(older, document(lines(0.4, "start"), 1))["differences"] == older["differences"]
    assert merged(older, document(lines(0.4, "sft"), 1))["differences"] == []


@pytest.mark.parametrize("text", ["{", "[]", '{"bench": "speed", "rows": []}'])
def test_another_file_is_not_written_over(tmp_path: Path, text: Any) -> None:
    (tmp_path / f"{NAME}.json").write_text(text, "utf-8")
    with pytest.raises(ConfigError, match="no bench of methods"):
        write(document(lines(0.2, "start"), 1), tmp_path)
    assert (tmp_path / f"{NAME}.json").read_text("utf-8") == text
