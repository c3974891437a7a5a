"""Who is let in and what is refused; starting, stopping, and what cannot be served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from loopback import serving
from opd.errors import BusyError, InputError, ModelMismatchError, NotFoundError, UnsafeModelError
from opd.serving.app import create_serving_app, serve
from opd.serving.loading import ServedModel, find_served, load_served
from opd.teachers.base import OtherModelError, Rollouts
from opd.teachers.http import Policy
from opd.teachers.http_replies import KeyRefusedError, RequestRefusedError
from opd.teachers.scoring_server import ScoringServer
from serving.asking import post

TOKEN = "a-token-of-more-than-16"


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "changes", "status", "code"),
    [
        ("/completions", {"model": "other"}, 404, "model_not_found"),
        ("/completions", {"prompt": [5, 99999]}, 400, "token_out_of_vocabulary"),
        ("/completions", {"prompt": [-1]}, 400, "token_out_of_vocabulary"),
        ("/completions", {"prompt": []}, 400, "prompt_empty"),
        ("/completions", {"prompt": ""}, 400, "prompt_empty"),
        ("/completions", {"prompt": [5] * 600}, 400, "context_length_exceeded"),
        ("/completions", {"max_tokens": 600}, 400, "context_length_exceeded"),
        ("/completions", {"prompt_logprobs": 100000}, 400, "too_many_logprobs"),
        ("/completions", {"best_of": 4}, 400, "invalid_request"),
        ("/completions", {"stream": True, "prompt_logprobs": 1}, 400, "not_streamed"),
        ("/completions", {"temperature": -1}, 400, "invalid_request"),
        ("/chat/completions", {"messages": []}, 400, "invalid_request"),
        ("/chat/completions", {"tools": [{}]}, 400, "invalid_request"),
        ("/chat/completions", {"chat_template_kwargs": {"chat_template": "x"}}, 400, "template_argument"),
    ],
)
def test_what_is_not_served_is_refused(
    address: str, path: str, changes: dict[str, Any], status: int, code: str
) -> None:
    body: dict[str, Any] = {"model": "tiny", "max_tokens": 4}
    body |= {"prompt": [5, 6]} if path == "/completions" else {"messages": [{"role": "user", "content": "x"}]}
    answer = post(address, path, {**body, **changes})
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == code
    assert answer.json()["error"]["message"]


def test_the_scoring_client_names_what_the_server_refuses(address: str) -> None:
    policy = Policy(max_attempts=1)
    with ScoringServer(address, "other", policy=policy) as teacher:
        with pytest.raises(OtherModelError, match="'tiny'"):
            teacher.check_model()
        with pytest.raises(RequestRefusedError, match="does not exist"):
            teacher.score(Rollouts(((5, 6),), ((7, 8),)))


def test_only_this_machine_and_no_web_page(address: str) -> None:
    body = {"model": "tiny", "prompt": [5], "max_tokens": 1}
    assert post(address, "/completions", body, host="evil.example").status_code == 403
    assert post(address, "/completions", body, origin="https://evil.example").status_code == 403
    assert post(address, "/completions", body, host="localhost:1234").status_code == 200
    plain = httpx2.post(address + "/completions", content=json.dumps(body), headers={"content-type": "text/plain"})
    assert plain.status_code == 415
    answer = httpx2.options(address + "/completions", headers={"origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_with_a_token_nobody_gets_in_without(served: ServedModel) -> None:
    with serving(create_serving_app(served, name="tiny", token=TOKEN, hosts=None)) as origin:
        assert httpx2.get(origin + "/v1/models").status_code == 401
        assert httpx2.get(origin + "/v1/models", headers={"authorization": "Bearer no"}).status_code == 401
        with ScoringServer(origin + "/v1", "tiny", key=TOKEN) as teacher:
            assert teacher.check_model()["id"] == "tiny"
        with (
            ScoringServer(origin + "/v1", "tiny", key="wrong-key-wrong") as teacher,
            pytest.raises(KeyRefusedError) as caught,
        ):
            teacher.check_model()
        assert "wrong-key-wrong" not in str(caught.value)


# --- starting ------------------------------------------------------------------------------------


def test_other_machines_need_a_token(folder: Path) -> None:
    for token in (None, "short"):
        with pytest.raises(InputError, match="no token"):
            serve(str(folder), host="0.0.0.0", token=token)  # noqa: S104  # refused before anything listens


def test_a_taken_port_is_named(folder: Path, address: str) -> None:
    port = int(address.split(":")[2].split("/")[0])
    with pytest.raises(BusyError, match=str(port)):
        serve(str(folder), port=port)


def test_serve_answers_until_it_is_stopped(folder: Path) -> None:
    import signal
    import subprocess
    import sys

    script = (
        "import sys\nfrom opd.serving.app import serve\n"
        "serve(sys.argv[1], port=0, device='cpu', on_ready=lambda *ready: print(*ready, flush=True))"
    )
    backend = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], cwd=backend, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        where, name = process.stdout.readline().split()
        assert name == "tiny"
        with ScoringServer(where, name) as teacher:
            assert len(teacher.score(Rollouts(((5, 6),), ((7, 8),))).rows[0].observed) == 2
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def test_a_run_is_served_by_its_name(tmp_path: Path, folder: Path) -> None:
    run = tmp_path / "amber-fox"
    (run / "student").mkdir(parents=True)
    assert find_served("amber-fox", tmp_path) == "amber-fox"  # not a run: it has no configuration
    (run / "config.yaml").write_text("name: x")
    with pytest.raises(NotFoundError, match="no finished student"):
        find_served("amber-fox", tmp_path)
    (run / "student" / "config.json").write_text("{}")
    assert find_served("amber-fox", tmp_path) == run / "student"
    assert find_served(str(folder), tmp_path) == str(folder)
    assert find_served("Qwen/Qwen3-0.6B", tmp_path) == "Qwen/Qwen3-0.6B"


def test_the_gate_stands_before_loading(tmp_path: Path, folder: Path) -> None:
    import shutil

    copy = tmp_path / "evil"
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModelForCausalLM": "evil.Model"}}))
    with pytest.raises(UnsafeModelError):
        load_served(copy)


def test_a_device_that_is_not_there(folder: Path) -> None:
    with pytest.raises(ModelMismatchError, match="sees no such device"):
        load_served(folder, device="tpu")
