"""Reports: complete, the same for the same folder, harmless whatever the models wrote."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import jsonschema_rs
import pytest

from opd.config import parse_config
from opd.evaluation.report import ReportFormat, render_report, write_reports
from opd.evaluation.report_data import build_report
from opd.evaluation.report_markdown import escape, fenced
from opd.evaluation.report_model import schema_text
from opd.evaluation.report_samples import clean
from opd.events import PhaseStarted, RunFailure, RunFinished, RunResumed, RunStarted, SampleRecorded, StepLogged
from opd.store.runs import RunFolder, RunStore
from seeded_run import HOSTILE, make_run

REPOSITORY = Path(__file__).parents[3]
FORMATS: tuple[ReportFormat, ...] = ("json", "html", "md")
VOID = {"meta", "br", "hr", "img", "link", "input"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return make_run(tmp_path_factory.mktemp("seeded"))


class Page(HTMLParser):
    """Checks nesting; collects elements and visible text."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_one_file_that_asks_for_nothing(run: RunFolder) -> None:
    text = render_report(run, "html")
    page = Page(text)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "img", "link", "iframe", "object", "embed", "form", "a", "base", "image", "use"}
    for _, attributes in page.elements:
        assert not {"src", "href", "xlink:href", "srcset", "action", "style"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert "default-src 'none'" in str(page.elements)
    assert not re.search(r"@import|url\(", text)


def test_the_page_shows_model_text_as_it_is(run: RunFolder) -> None:
    page = Page(render_report(run, "html"))
    assert clean(HOSTILE) in page.text
    assert build_report(run).name in page.text


def test_everything_a_reader_needs_is_there(run: RunFolder) -> None:
    page = Page(render_report(run, "html"))
    report = build_report(run)
    assert report.verdict is not None
    assert report.verdict.headline in page.text
    charts = [attributes["aria-label"] or "" for tag, attributes in page.elements if tag == "svg"]
    for wanted in ("Right answers", "Reverse KL", "Loss", "Entropy", "Length"):
        assert any(label.startswith(wanted) for label in charts)
    for wanted in ("torch", "2.13.0", report.config_digest, "digest-of-seeded", "opd train config.yaml", "$0.42"):
        assert wanted in page.text
    assert len(report.prompts) == 200
    assert all(prompt.question in page.text for prompt in report.prompts)
    assert [a.code for a in report.alarms] == ["kl_spike"]


def test_samples_are_what_they_are_called(run: RunFolder) -> None:
    samples = build_report(run).samples
    assert len(samples.best) == len(samples.worst) == len(samples.random) == 3
    assert all(not p.answers["before"].correct and p.answers["after"].correct for p in samples.best)
    assert all(not p.answers["after"].correct for p in samples.worst)
    assert [sample.step for sample in samples.live] == [1, 20, 40, 60, 80, 100, 120]


def test_transitions_count_every_prompt_once(run: RunFolder) -> None:
    report = build_report(run)
    moved = report.transitions
    assert moved is not None
    assert sum(moved.model_dump().values()) == 200
    level = {e.subject: e.metrics["exact_match"].mean for e in report.evaluations}
    assert moved.stayed_right + moved.became_right == round(200 * level["after"])
    assert moved.stayed_right + moved.became_wrong == round(200 * level["before"])


def test_a_spike_of_one_step_and_a_gap_survive(run: RunFolder) -> None:
    series = build_report(run).series
    assert max(point.high or 0.0 for point in series["loss"]) == 6.5
    assert [p.first_step for p in series["reverse_kl"] if p.mean is None] == [31, 32, 33]
    assert not [name for name in series if "time" in name]


def test_the_json_validates_against_the_published_schema(run: RunFolder) -> None:
    published = (REPOSITORY / "docs" / "report.schema.json").read_text(encoding="utf-8")
    assert published == schema_text(), "run: python -m opd.evaluation.report_model > docs/report.schema.json"
    document = json.loads(render_report(run, "json"))
    validator = jsonschema_rs.validator_for(json.loads(published))
    validator.validate(document)
    del document["config_digest"]
    assert not validator.is_valid(document)


@pytest.mark.parametrize("report_format", FORMATS)
def test_the_same_folder_gives_the_same_bytes(run: RunFolder, tmp_path: Path, report_format: ReportFormat) -> None:
    write_reports(run)
    written = (run.path / f"report.{report_format}").read_bytes()
    assert render_report(run, report_format).encode() == written
    moved = Path(shutil.copytree(run.path, tmp_path / "elsewhere" / run.run_id))
    code = (
        "import sys; from pathlib import Path; from opd.store.runs import RunFolder;"
        "from opd.evaluation.report import render_report;"
        f"sys.stdout.buffer.write(render_report(RunFolder(Path(sys.argv[1])), '{report_format}').encode())"
    )
    again = subprocess.run(
        [sys.executable, "-c", code, str(moved)], capture_output=True, check=True, env=_environment()
    )
    assert again.stdout == written


def _environment() -> dict[str, str]:
    # Another hash seed: nothing may depend on the order of sets.
    return {"PYTHONPATH": str(REPOSITORY / "backend"), "PYTHONHASHSEED": "77", "TZ": "Asia/Tokyo"}


def test_what_follows_the_verdict_does_not_change_the_report(run: RunFolder, tmp_path: Path) -> None:
    before = make_run(tmp_path, finished=False)
    first = render_report(before, "html")
    writer = before.writer()
    writer.append(PhaseStarted(phase="finalizing"), RunFinished(outcome="done", step=120))
    writer.close()
    assert render_report(before, "html") == first


def test_a_run_that_failed_says_why(tmp_path: Path) -> None:
    run = RunStore(tmp_path).create(_config())
    writer = run.writer()
    error = RunFailure(code="diverged", message="The loss is no number.", hint="Lower the learning rate.")
    writer.append(
        _started(), StepLogged(step=1, metrics={"loss": 1.0}), RunFinished(outcome="failed", step=1, error=error)
    )
    writer.close()
    report = build_report(run)
    assert report.verdict is None
    assert report.ended == "The loss is no number. Lower the learning rate."
    for report_format in FORMATS:
        assert "No verdict" in render_report(run, report_format) or report_format == "json"


def test_a_run_without_any_event_has_a_report(tmp_path: Path) -> None:
    run = RunStore(tmp_path).create(_config())
    Page(render_report(run, "html"))
    assert build_report(run).steps_done == 0


def test_after_a_resume_every_sample_is_shown_once_and_the_pause_costs_no_time(tmp_path: Path) -> None:
    run = RunStore(tmp_path).create(_config())

    def sample(step: int, text: str) -> SampleRecorded:
        return SampleRecorded(step=step, author="student", prompt_id="p", prompt="q", text=text)

    writer = run.writer()
    writer.append(PhaseStarted(phase="loading"), _started(), PhaseStarted(phase="distilling"))
    writer.append(sample(10, "a"), sample(20, "lost"), sample(30, "lost"))
    writer.append(PhaseStarted(phase="loading"), RunResumed(step=10, exactness="exact", reason="killed"))
    writer.append(PhaseStarted(phase="distilling"), sample(20, "b"))
    writer.close()
    with run.writer()._db as db:
        db.execute("UPDATE events SET time = seq + CASE WHEN seq > 6 THEN 5000 ELSE 0 END")
    report = build_report(run)
    assert [(s.step, s.text) for s in report.samples.live] == [(10, "a"), (20, "b")]
    assert {p.phase: p.seconds for p in report.costs.phases} == {"loading": 4.0, "distilling": 4.0}
    assert report.num_resumes == 1


def test_markdown_cannot_be_broken_by_model_text(run: RunFolder) -> None:
    text = render_report(run, "md")
    outside = re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    for forbidden in ("<script", "<img", "](javascript", "](http"):
        assert forbidden not in outside
    assert escape("a | b\n# c <i> [x](y)") == r"a \| b \# c \<i\> \[x\](y)"
    assert fenced("a ```` b").startswith("`````text\n")


def test_text_is_cleaned_of_what_no_document_can_hold() -> None:
    assert clean("a\r\nb\x00\x1b\t\ud800é") == "a\nb\ufffd\ufffd\t?é"


def test_no_ml_package_is_loaded_for_a_report() -> None:
    code = (
        "import sys, opd.evaluation.report, opd.evaluation.compare, opd.evaluation.answers;"
        "print([m for m in ('torch', 'numpy', 'transformers', 'trl', 'datasets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment())
    assert done.stdout.strip() == "[]"


def _config():  # type: ignore[no-untyped-def]  # the configuration's own type is long
    return parse_config(
        {"student": {"model": "s"}, "teacher": {"type": "local", "model": "t"}, "data": {"path": "p.jsonl"}}
    )


def _started() -> RunStarted:
    return RunStarted(
        name="n", student="s", teacher="t", signal="full", max_steps=100, num_prompts=1, num_test_prompts=1
    )
