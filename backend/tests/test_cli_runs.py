"""`opd runs` and `opd report`: what has been run, named, compared, stopped, deleted and reported."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from command_line import ask, ask_json
from opd.evaluation.report import ReportFormat, write_reports
from opd.store.runs import RunFolder, RunStore
from seeded_run import make_run
from studio_in_tests import config, until

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    monkeypatch.setenv("OPD_DATA_DIR", str(tmp_path))
    return RunStore(tmp_path)


def finished(store: RunStore, **changes: Any) -> RunFolder:
    """A run that has ended, as the light pipeline leaves it."""
    folder = store.create(config("steps=5", **changes))
    process = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("light_run.py")), str(folder.path)],
        input="{}\n",
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "backend")},
        check=True,
        capture_output=True,
    )
    assert process.returncode == 0
    return folder


def test_list_show_compare_delete(
    store: RunStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(capsys, "runs", "list")[1] == ""
    assert ask_json(capsys, "runs", "list") == (0, [])
    one, other = finished(store), finished(store, seed=1)
    code, body = ask_json(capsys, "runs", "list")
    assert (code, {item["run_id"] for item in body}) == (0, {one.run_id, other.run_id})
    assert one.run_id in ask(capsys, "runs", "list")[1]
    code, body = ask_json(capsys, "runs", "show", one.run_id)
    assert (body["state"], body["summary"]["step"], body["config"]["name"]) == ("done", 5, "steps=5")
    out = ask(capsys, "runs", "show", "latest")[1]
    assert "State   done" in out
    assert "name: steps=5" in out
    assert ask_json(capsys, "runs", "tag", one.run_id, "keep", "first")[1] == {
        "run_id": one.run_id,
        "tags": ["keep", "first"],
    }
    code, body = ask_json(capsys, "runs", "compare", one.run_id, other.run_id)
    assert [item["path"] for item in body["config"]] == ["seed"]
    assert {item["run_id"] for item in body["outcomes"]} == {one.run_id, other.run_id}
    assert "seed" in ask(capsys, "runs", "compare", one.run_id, other.run_id)[1]
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert ask(capsys, "runs", "delete", one.run_id)[0] == 130
    assert len(list(store)) == 2
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert ask(capsys, "runs", "delete", one.run_id)[0] == 0
    assert ask_json(capsys, "runs", "delete", other.run_id, "--yes")[1] == {"run_id": other.run_id, "deleted": True}
    assert list(store) == []


def test_a_run_is_named_by_the_beginning_of_its_id(store: RunStore, capsys: pytest.CaptureFixture[str]) -> None:
    store.create(config(), "20260101-000000-aaaa")
    store.create(config(), "20260101-000000-bbbb")
    assert ask_json(capsys, "runs", "show", "20260101-000000-b")[1]["run_id"].endswith("bbbb")
    code, body = ask_json(capsys, "runs", "show", "20260101")
    assert (code, body["error"]["message"]) == (2, "2 runs begin with '20260101'.")


def test_resume_and_stop(store: RunStore, capsys: pytest.CaptureFixture[str], light_runs: None) -> None:
    folder = store.create(config("steps=100000 rate=20"))
    assert ask_json(capsys, "runs", "resume", folder.run_id)[0] == 0
    assert folder.state() == "running"
    code, body = ask_json(capsys, "runs", "resume", folder.run_id)
    assert (code, body["error"]["code"]) == (3, "busy")
    code, body = ask_json(capsys, "train", str(ROOT / "examples" / "local.yaml"))
    assert (code, body["error"]["details"]) == (3, {"run_id": folder.run_id})
    assert ask(capsys, "runs", "stop", folder.run_id)[0] == 0
    until(lambda: folder.state() == "stopped", "the run to stop")


@pytest.mark.parametrize("form", ["md", "json", "html"])
def test_a_report_is_made_again_byte_for_byte(
    store: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: ReportFormat
) -> None:
    folder = make_run(store.root, num_steps=5)
    write_reports(folder)
    written = (folder.path / f"report.{form}").read_bytes()
    (folder.path / f"report.{form}").unlink()
    assert ask(capsys, "report", "latest", "--format", form)[1].encode() == written
    assert ask(capsys, "report", "latest", "--format", form, "-o", str(tmp_path / "again"))[:2] == (0, "")
    assert (tmp_path / "again").read_bytes() == written
    assert ask(capsys, "report", "latest", "--format", "pdf")[0] == 2


def test_a_run_that_was_not_measured_has_a_report_too(store: RunStore, capsys: pytest.CaptureFixture[str]) -> None:
    folder = finished(store)
    code, body = ask_json(capsys, "report", "latest")
    assert (code, body["run_id"], body["steps_done"], body["verdict"]) == (0, folder.run_id, 5, None)
