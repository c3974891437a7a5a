"""`opd train` with a real model: its one JSON document, the wait for the device, refusals, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import ask_json
from opd.cli.folders import open_jobs
from opd.store.runs import RunStore
from run_processes import CommandProcess
from studio_in_tests import config, until
from tiny import save_model

BACKEND = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
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


def test_train_ends_in_one_json_document_and_a_run_that_the_studio_finds(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "opd.cli", "train", str(tiny_config), "--json"],
        env={**os.environ, "PYTHONPATH": str(BACKEND), "OPD_DATA_DIR": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout)
    assert (body["state"], body["step"], body["exit_code"]) == ("done", 2, 0)
    (run,) = RunStore(tmp_path)
    assert (run.run_id, run.state()) == (body["run_id"], "done")
    assert body["evaluations"]["before"]
    assert "step " in done.stderr
    monkeypatch.setenv("OPD_DATA_DIR", str(tmp_path))
    code, again = ask_json(capsys, "train", "--resume", "latest")
    assert code == 2
    assert "nothing to resume" in again["error"]["message"]


def train(folder: Path, *arguments: str) -> CommandProcess:
    """`opd train … --json` on a data folder."""
    environment = {"OPD_DATA_DIR": str(folder / "data"), "HF_HUB_OFFLINE": "1"}
    return CommandProcess("train", *arguments, "--json", folder=folder, **environment)


def test_train_waits_for_the_device(tiny_config: Path, tmp_path: Path, light_runs: None) -> None:
    store = RunStore(tmp_path / "data")
    first = store.create(config("steps=100000 rate=20", device="cpu"))
    open_jobs(store).resume(first.run_id)
    command = train(tmp_path, str(tiny_config), "--wait")
    until(lambda: f"{first.run_id} is at work on this device. Waiting" in command.err, "the wait to be told")
    assert list(store) == [first], "nothing was made yet"
    open_jobs(store).stop(first.run_id, "save")
    assert (command.wait(), json.loads(command.out)["state"]) == (0, "done")


def test_an_unknown_model_exits_2_naming_it(tiny_config: Path, tmp_path: Path) -> None:
    file = tiny_config.with_name("unknown.yaml")
    file.write_text(json.dumps({**json.loads(tiny_config.read_text()), "student": {"model": "Qwen/Qwen3-7B"}}))
    command = train(tmp_path, str(file))
    assert command.wait() == 2, command.err
    failure = json.loads(command.out)["failure"]
    assert "Qwen/Qwen3-7B" in failure["message"]
    assert "Qwen/Qwen3-8B" in failure["hint"]
    assert "Traceback" not in command.err


def test_ctrl_c_saves_and_exits_130(tiny_config: Path, tmp_path: Path) -> None:
    file = tiny_config.with_name("long.yaml")
    file.write_text(json.dumps({**json.loads(tiny_config.read_text()), "max_steps": 2000}))
    command, store = train(tmp_path, str(file)), RunStore(tmp_path / "data")
    until(lambda: any(run.summary().step >= 2 for run in store), "two steps", seconds=200)
    command.send(signal.SIGINT)
    assert command.wait() == 130, command.err
    body = json.loads(command.out)
    assert (body["state"], body["exit_code"]) == ("stopped", 130)
    assert body["step"] >= 2
