"""The report on a run: HTML to read and print, Markdown to paste, JSON to compute with.

In: a run folder. Out: text, and the files report.{json,html,md} in the folder. The same folder gives the same bytes.
Loads no ML package: the server and the command line render reports too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from opd.evaluation.report_data import build_report
from opd.evaluation.report_html import render_html
from opd.evaluation.report_markdown import render_markdown
from opd.evaluation.report_model import Report
from opd.store.files import write_durably
from opd.store.runs import RunFolder

ReportFormat = Literal["json", "html", "md"]


def _render_json(report: Report) -> str:
    return report.model_dump_json(indent=1) + "\n"


_RENDERERS: dict[ReportFormat, Callable[[Report], str]] = {
    "json": _render_json,
    "html": render_html,
    "md": render_markdown,
}


def render_report(run: RunFolder, report_format: ReportFormat = "html") -> str:
    """The report on a run in one format, finished or not.

    Raises:
        StorageError: the run's event log cannot be read.
    """
    return _RENDERERS[report_format](build_report(run))


def write_reports(run: RunFolder) -> None:
    """Write all formats into the run's folder.

    Raises:
        StorageError: the run's event log cannot be read.
    """
    report = build_report(run)
    for report_format, render in _RENDERERS.items():
        write_durably(run.path / f"report.{report_format}", render(report).encode())
