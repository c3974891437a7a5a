"""The bench of two tokenizers: both learn from the same texts, and what it says adds up."""

from __future__ import annotations

from pathlib import Path

import pytest

from opd.bench import tokenizers as bench
from tokenizers_in_tests import byte_level, model_for


def test_both_take_turns_on_the_same_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = byte_level("three_digits", 900, 1)
    model_for(other).save_pretrained(tmp_path / "teacher")
    other.save_pretrained(tmp_path / "teacher")
    monkeypatch.setattr(bench, "other_teacher", lambda folder: folder / "teacher")
    written: dict[str, list[list[tuple[int, ...]]]] = {}
    roll_out = bench.OPDTrainer.roll_out

    def remembering(self: bench.OPDTrainer, planned: object) -> object:
        rows = roll_out(self, planned)  # type: ignore[arg-type]  # passed on as it is
        written.setdefault(type(self.signal).__name__, []).append([row.completion.ids for row in rows])
        return rows

    monkeypatch.setattr(bench.OPDTrainer, "roll_out", remembering)
    report = bench.run_tokenizers_bench(tmp_path, steps=2, threads=1)
    same, across = written.values()
    assert same[0] == across[0], "the same prompts and seeds from the same student"
    assert set(report.phases_s) == {"same tokenizer", "another tokenizer"}
    for name, spread in (("same tokenizer", report.same_tokenizer_s), ("another tokenizer", report.cross_tokenizer_s)):
        assert 0 < spread.min <= spread.median <= spread.max
        assert 0 < sum(report.phases_s[name].values()) <= spread.max
        assert report.phases_s[name]["loss"] > 0
    assert report.ratio.min <= report.ratio.median <= report.ratio.max
    assert f"{report.ratio.median:.2f} times as long" in report.as_text()
