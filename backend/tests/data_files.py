"""Data files written for a test, and what their check says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from opd.data_loader import DataReport, check_file

EXAMPLES = Path(__file__).parents[2] / "examples" / "data"


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_bytes(data)
    return path


def check(tmp_path: Path, data: bytes, **options: Any) -> DataReport:
    return check_file(write(tmp_path, data), **options)


def codes(report: DataReport, severity: str = "error") -> list[str]:
    return [problem.code for problem in report.problems if problem.severity == severity]
