"""The command line as a person and a script use it: words, JSON, exit codes, and nothing loaded that is not needed."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import ask, ask_json
from opd import __version__
from opd.cli_docs import TARGET, render
from opd.config import load_config
from opd.store.runs import RunStore
from studio_in_tests import PROMPTS, config, settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    monkeypatch.setenv("OPD_DATA_DIR", str(tmp_path))
    return RunStore(tmp_path)


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
