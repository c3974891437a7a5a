"""The command line as a person and a script use it: words, JSON, exit codes, and nothing loaded that is not needed."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from opd import __version__
from opd.cli import run
from opd.cli_docs import TARGET, render
from opd.config import load_config
from opd.evaluation.report import ReportFormat, write_reports
from opd.store.runs import RunFolder, RunStore
from seeded_run import make_run
from studio_in_tests import PROMPTS, config, settings, until

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    monkeypatch.setenv("OPD_DATA_DIR", str(tmp_path))
    return RunStore(tmp_path)


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr of a command."""
    code = run(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


def ask_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    """Exit code and the one JSON document on stdout."""
    code, out, _ = ask(capsys, *arguments, "--json")
    return code, json.loads(out)


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


# --- help ------------------------------------------------------------------------------------------


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys\nfrom opd.cli import run\nrun(['--help'])\n"
        "heavy = {'torch', 'transformers', 'fastapi', 'uvicorn', 'openai', 'anthropic', 'genai_prices', 'yaml'}\n"
        "sys.exit(str(sorted(heavy & set(sys.modules))) if heavy & set(sys.modules) else 0)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "backend"), "COLUMNS": "100"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("studio", "demo", "train", "runs", "data", "estimate", "preflight", "report", "doctor", "keys"):
        assert re.search(rf"│ {command} +[A-Z]", done.stdout), command


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    commands = [line.removeprefix("## opd ") for line in render().splitlines() if line.startswith("## opd ")]
    assert len(commands) >= 18
    for command in commands:
        code, out, _ = ask(capsys, *command.split(), "--help")
        assert code == 0
        assert f"Usage: opd {command}" in out
        first = next(line.strip() for line in out.splitlines()[3:] if line.strip())
        assert first[0].isupper(), command
        assert len(first) > 20, command


def test_the_reference_is_fresh() -> None:
    assert TARGET.read_text(encoding="utf-8") == render()


def test_bare_opd_and_bare_groups_show_their_help(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["runs"], ["data"], ["keys"]):
        code, out, _ = ask(capsys, *arguments)
        assert code == 0
        assert "Usage: opd" in out


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(capsys, "--version")[:2] == (0, f"opd {__version__}\n")


# --- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["train"],
        ["train", "a.yaml", "--resume", "latest"],
        ["train", "no-such-file.yaml"],
        ["estimate"],
        ["estimate", "no-such-file.yaml"],
        ["data", "check", "no-such-file.jsonl"],
        ["runs", "show", "latest"],
        ["runs", "show", "../../etc"],
        ["runs", "stop", "nope"],
        ["runs", "compare", "a"],
        ["report", "latest"],
        ["studio", "--host", "0.0.0.0"],  # noqa: S104
        ["studio", "--port", "99999"],
        ["studio", "--token-file", "no-such-file"],
        ["keys", "delete", "nobody"],
        ["demo", "--seed", "-1"],
    ],
)
def test_unusable_input_exits_2_with_a_way_out_and_no_traceback(
    store: RunStore, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    code, out, err = ask(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("Error: ")
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) >= 2, "what to do"


def test_errors_are_json_where_json_was_asked_for(store: RunStore, capsys: pytest.CaptureFixture[str]) -> None:
    code, body = ask_json(capsys, "runs", "show", "nope")
    assert code == 2
    assert body["error"]["code"] == "not_found"
    assert body["error"]["hint"]


# --- data, estimate, preflight ---------------------------------------------------------------------


def test_data_check_of_the_examples(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ask(capsys, "data", "check", str(PROMPTS.with_name("on_policy_prompts_test.jsonl")))
    assert code == 0
    for said in (
        "Samples          5",
        "Messages         10 (2.0 a sample",
        "System messages  5",
        "4 to train on, 1 held out",
    ):
        assert said in out
    code, body = ask_json(capsys, "data", "check", str(PROMPTS))
    assert (code, body["num_samples"], body["ok"]) == (0, 119, True)
    assert body["split"]["train"] + body["split"]["test"] == 119


def test_data_check_of_a_broken_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "broken.jsonl"
    good = '{"messages": [{"role": "user", "content": "a"}]}\n'
    file.write_text(good + '{"messages": [}\n')
    code, out, _ = ask(capsys, "data", "check", str(file))
    assert code == 2
    assert f"line 2, byte {len(good) + 14}" in out
    code, body = ask_json(capsys, "data", "check", str(file))
    assert (code, body["split"]) == (2, None)
    problem = body["problems"][0]
    assert (problem["line"], problem["byte_offset"]) == (2, len(good) + 14)
    assert problem["fix"]
    assert problem["reason"]


def test_the_scenario_table(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ask(capsys, "estimate", "--scenarios")
    assert code == 0
    mini, sonnet = "openai/gpt-4o-mini", r"anthropic/claude-3\.5-sonnet"
    rows = [
        rf"5 +100 +50,000 +{mini} +\$0\.01",
        rf"5 +100 +50,000 +{sonnet} +\$0\.15",
        rf"119 +1,000 +11,900,000 +{mini} +\$1\.78",
        rf"119 +1,000 +11,900,000 +{sonnet} +\$35\.70",
    ]
    for row in rows:
        assert re.search(row, out), row


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "examples").glob("*.yaml")))
def test_every_example_loads_and_can_be_estimated(
    store: RunStore, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    code, body = ask_json(capsys, "estimate", str(ROOT / "examples" / name), "--scenarios")
    assert code == 0
    assert body["time"]["likely_s"] > 0
    assert body["scenarios"]
    code, out, _ = ask(capsys, "estimate", str(ROOT / "examples" / name))
    assert code == 0
    if body["teacher_is_paid"]:
        budget = load_config(ROOT / "examples" / name).budget_usd
        assert 0 < body["low_usd"] <= body["likely_usd"] <= body["high_usd"]
        assert body["likely_usd"] <= (budget or 0), "an example is not paused at its own cap"
    else:
        assert "Teacher  $0.00" in out


def test_there_are_examples() -> None:
    assert {"local.yaml", "gold.yaml"} <= {path.name for path in (ROOT / "examples").glob("*.yaml")}


def test_preflight_says_what_fails(store: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(json.dumps(settings(student={"model": "no model here"}, data={"path": "no.jsonl"})))
    code, body = ask_json(capsys, "preflight", str(file))
    assert code == 1
    found = {item["id"]: item["status"] for item in body["items"]}
    assert (found["student"], found["data"], found["teacher"]) == ("fail", "fail", "warn")
    code, out, _ = ask(capsys, "preflight", str(file))
    assert code == 1
    assert "FAIL  Prompts: " in out


# --- runs ------------------------------------------------------------------------------------------


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


# --- keys and doctor -------------------------------------------------------------------------------


def test_keys_are_piped_in_and_never_shown(
    store: RunStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("sk-canary-3141592\n"))
    code, out, err = ask(capsys, "keys", "set", "openai")
    assert code == 0
    body = ask_json(capsys, "keys", "list")[1]
    assert {item["provider"]: item["source"] for item in body}["openai"] == "file"
    shown = ask(capsys, "keys", "list")
    assert "canary" not in out + err + json.dumps(body) + "".join(map(str, shown))
    assert ask(capsys, "keys", "delete", "openai")[0] == 0
    assert {item["provider"]: item["present"] for item in ask_json(capsys, "keys", "list")[1]}["openai"] is False


def test_doctor_answers(store: RunStore, capsys: pytest.CaptureFixture[str]) -> None:
    code, body = ask_json(capsys, "doctor")
    assert code == (0 if body["ok"] else 1)
    assert {"ok", "warn", "fail"} >= {check["status"] for check in body["checks"]}


# --- train, in this process, with a real model -----------------------------------------------------


@pytest.fixture(scope="module")
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny import save_model

    folder = tmp_path_factory.mktemp("tiny")
    save_model(folder / "student", seed=0)
    save_model(folder / "teacher", seed=5)
    lines = [{"messages": [{"role": "user", "content": f"{a}+{a}?"}], "answer": str(2 * a)} for a in range(8)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    content = {
        "student": {"model": "student"},
        "teacher": {"type": "local", "model": "teacher"},
        "data": {"path": "prompts.jsonl", "test_fraction": 0.25},
        "max_steps": 2,
        "batch_size": 2,
        "sampling": {"max_completion_tokens": 4},
        "evaluation": {"probe_prompts": 0, "max_prompts": 2},
        "device": "cpu",
        "num_threads": 1,
    }
    (folder / "run.yaml").write_text(json.dumps(content))
    return folder / "run.yaml"


def command(folder: Path, *arguments: str) -> tuple[list[str], dict[str, str]]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "backend"),
        "OPD_DATA_DIR": str(folder),
        "HF_HUB_OFFLINE": "1",
    }
    return [sys.executable, "-m", "opd.cli", *arguments], environment


def test_train_ends_in_one_json_document_and_a_run_that_the_studio_finds(tiny_config: Path, tmp_path: Path) -> None:
    arguments, environment = command(tmp_path, "train", str(tiny_config), "--json")
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout)
    assert (body["state"], body["step"], body["exit_code"]) == ("done", 2, 0)
    (run,) = RunStore(tmp_path)
    assert (run.run_id, run.state()) == (body["run_id"], "done")
    assert body["evaluations"]["before"]
    assert "step " in done.stderr
    again = subprocess.run(
        command(tmp_path, "train", "--resume", "latest", "--json")[0],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 2
    assert "nothing to resume" in json.loads(again.stdout)["error"]["message"]


def test_train_waits_for_the_device(tiny_config: Path, tmp_path: Path, light_runs: None) -> None:
    from opd.cli.folders import open_jobs

    store = RunStore(tmp_path)
    first = store.create(config("steps=100000 rate=20", device="cpu"))
    open_jobs(store).resume(first.run_id)
    arguments, environment = command(tmp_path, "train", str(tiny_config), "--wait", "--json")
    process = subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert f"{first.run_id} is at work on this device. Waiting" in process.stderr.readline()
    assert list(store) == [first], "nothing was made yet"
    open_jobs(store).stop(first.run_id, "save")
    out, _ = process.communicate(timeout=200)
    assert (process.returncode, json.loads(out)["state"]) == (0, "done")


def test_an_unknown_model_exits_2_naming_it(tiny_config: Path, tmp_path: Path) -> None:
    file = tiny_config.with_name("unknown.yaml")
    file.write_text(json.dumps({**json.loads(tiny_config.read_text()), "student": {"model": "Qwen/Qwen3-7B"}}))
    arguments, environment = command(tmp_path, "train", str(file), "--json")
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    failure = json.loads(done.stdout)["failure"]
    assert "Qwen/Qwen3-7B" in failure["message"]
    assert "Qwen/Qwen3-8B" in failure["hint"]
    assert "Traceback" not in done.stderr


def test_ctrl_c_saves_and_exits_130(tiny_config: Path, tmp_path: Path) -> None:
    file = tiny_config.with_name("long.yaml")
    file.write_text(json.dumps({**json.loads(tiny_config.read_text()), "max_steps": 2000}))
    arguments, environment = command(tmp_path, "train", str(file), "--json")
    process = subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    store = RunStore(tmp_path)
    until(lambda: any(run.summary().step >= 2 for run in store), "two steps", seconds=200)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 130, err
    body = json.loads(out)
    assert (body["state"], body["exit_code"]) == ("stopped", 130)
    assert body["step"] >= 2


def test_costs_are_exact_and_looking_makes_no_ledger(store: RunStore, capsys: pytest.CaptureFixture[str]) -> None:
    from opd.pricing import Usage, resolve_model
    from opd.store.money import CallRequest, Ledger, Reservation, request_key

    assert ask_json(capsys, "costs")[1] == {"rows": [], "spent_usd": "0.000000000"}
    assert not (store.root / "money.db").exists()
    run = store.create(config())
    price = resolve_model("openai/gpt-4o-mini")
    with Ledger(store.root / "money.db") as ledger:
        ledger.set_run_cap(run.run_id, 10**9)
        call = CallRequest(request_key({"messages": ["x"]}), run.run_id, "answers", price.id, price, 1000, 1000)
        reservation = ledger.reserve(call)
        assert isinstance(reservation, Reservation)
        ledger.sent(reservation.call_id)
        ledger.settle(reservation.call_id, Usage(input_tokens=1000, output_tokens=100), b"answer")
    code, body = ask_json(capsys, "costs", "--run", "latest")
    assert code == 0
    assert [(row["teacher"], row["num_calls"]) for row in body["rows"]] == [(price.id, 1)]
    assert float(body["spent_usd"]) == pytest.approx(1000 * 0.15e-6 + 100 * 0.6e-6)
    assert "Spent in all: $0.0002" in ask(capsys, "costs")[1]
    assert ask(capsys, "costs", "--csv")[1].startswith("run_id,teacher,stage,")
    assert ask_json(capsys, "costs", "--month", "1999-01")[1]["rows"] == []
    assert ask(capsys, "costs", "--month", "13-2026")[0] == 2
