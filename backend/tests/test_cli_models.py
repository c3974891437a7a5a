"""`opd export`, `eval`, `probe` and `serve` on a real run of a tiny model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from opd.cli import run
from opd.evaluation.results import results_path
from opd.store.runs import RunFolder
from tokenizers_in_tests import byte_level, model_for
from trained_run import a_run, dividing_by

pytestmark = pytest.mark.usefixtures("warm_interpreters")

BACKEND = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    tokenizer = dividing_by("qwen2", byte_level("one_digit"))
    return a_run(tmp_path_factory.mktemp("data"), model_for(tokenizer), tokenizer)


@pytest.fixture(autouse=True)
def data_folder(trained: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPD_DATA_DIR", str(trained.path.parents[1]))


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    """Exit code and the one JSON document of a command."""
    code = run([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_export_says_what_was_proven(trained: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, body = ask(capsys, "export", "latest", str(tmp_path / "out"), "--to", "gguf", "--precision", "f32")
    assert code == 0
    assert [check["what"] for check in body["checks"]] == ["tensors", "tokenizer", "behaves like the run's model"]
    assert Path(body["path"]) / "model.gguf" == tmp_path / "out" / "model.gguf"
    assert run(["export", trained.run_id, str(tmp_path / "words"), "--to", "merged"]) == 0
    assert "Use it: opd serve" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--to", "onnx"), "no export form 'onnx'"),
        (("--to", "lora"), "trained all weights"),
        (("--to", "gguf", "--precision", "q4"), "no precision 'q4'"),
        (("--to", "merged", "--step", "3"), "no checkpoint of step 3"),
    ],
)
def test_export_refuses_in_words(
    arguments: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, body = ask(capsys, "export", "latest", str(tmp_path / "out"), *arguments)
    assert code == 2
    assert said in body["error"]["message"]
    assert body["error"]["hint"]
    assert not list(tmp_path.iterdir())


def test_eval_measures_the_model_and_a_checkpoint(trained: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    code, body = ask(capsys, "eval", "latest")
    assert code == 0
    assert body["measured"]["exact_match"]["num"] == 4
    assert body["measured"]["reverse_kl"]["mean"] > 0, "its teacher is what it was before"
    _, again = ask(capsys, "eval", "latest", "--step", "4")
    assert again["measured"]["exact_match"] == body["measured"]["exact_match"], "the last checkpoint is the model"
    assert run(["eval", "latest"]) == 0
    assert "exact_match" in capsys.readouterr().out
    assert not results_path(trained.path, "after").exists(), "the run's own results are not touched"


def test_probe_says_what_the_teacher_can_do(trained: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(trained.path / "config.yaml")
    code, body = ask(capsys, "probe", file)
    assert (code, body["ok"], body["finding"]) == (0, True, "token by token, full distribution")
    assert run(["probe", file]) == 0
    assert "ok    Tokenizer" in capsys.readouterr().out


def test_serve_answers_until_interrupted(trained: RunFolder) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "opd.cli", "serve", trained.run_id, "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(BACKEND)},
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        asked = {"model": trained.run_id, "prompt": [5, 6, 7], "max_tokens": 1, "prompt_logprobs": 3}
        answer = httpx2.post(f"{address}/completions", json=asked, timeout=60).json()
        assert len(answer["choices"][0]["prompt_logprobs"]) == 3
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0
    finally:
        server.kill()


def test_serve_lets_no_other_machine_in_without_a_token(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "latest", "--host", "0.0.0.0"]) == 2  # noqa: S104  # that is what is refused
    assert "lets other machines in" in capsys.readouterr().err
