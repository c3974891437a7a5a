"""Keys go in and never come out: canaries through every error answer, every file, every log, every process."""

from __future__ import annotations

import base64
import json
import logging
import stat
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

from opd.api.app import build_api
from opd.keys import Keys
from studio_in_tests import Client, open_studio, settings, until

CANARY = "sk-Canary-7Qx9ZrT2vB"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with open_studio(tmp_path) as client:
        yield client


def forms(secret: str) -> list[bytes]:
    """The secret as it is, and as it looks encoded."""
    plain = secret.encode()
    return [plain, plain[4:], base64.b64encode(plain)[:-4], urllib.parse.quote(secret).encode(), plain.hex().encode()]


def assert_clean(data: bytes, where: str) -> None:
    for form in forms(CANARY):
        assert form not in data, f"a key in {where}"


def mutations() -> Iterator[tuple[str, str, Any]]:
    """Requests that are refused, each with the canary in another place."""
    good = settings()
    bodies: list[Any] = [
        CANARY,
        [CANARY],
        {CANARY: CANARY},
        {"request_id": CANARY + "!", "config": good},
        {"request_id": "request-1", "config": CANARY},
        {"request_id": "request-1", "demo": CANARY},
        {"request_id": "request-1", "config": {**good, CANARY: 1}},
        {"request_id": "request-1", "config": {**good, "api_key": {"nested": CANARY}}},
        {"request_id": "request-1", "config": {**good, "teacher": {"type": CANARY}}},
        {"request_id": "request-1", "config": {**good, "teacher": {"type": "chat", "model": 1, "api_key": CANARY}}},
        {"request_id": "request-1", "config": {**good, "objective": CANARY}},
        {"request_id": "request-1", "config": {**good, "device": CANARY, "max_steps": CANARY, "lambda": CANARY}},
        {"request_id": "request-1", "config": {**good, "data": {"path": "x", "answer_match": CANARY}}},
        {"run_id": CANARY, "mode": CANARY},
        {"config": {**good, "seed": CANARY}},
        {"code": CANARY},
        {"value": [CANARY]},
        {"value": CANARY, "extra": CANARY},
        {"value": CANARY * 100},
    ]
    for context in iter_route_contexts(build_api().routes):
        for method in sorted(set(context.methods or ()) & {"POST", "PUT", "DELETE"}):
            path = (
                str(context.path).replace("{run_id}", "r1").replace("{dataset_id}", "d1").replace("{provider}", "none")
            )
            for body in bodies:
                yield method, path, body


def test_no_error_answer_repeats_what_was_sent(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    asked = 0
    for method, path, body in mutations():
        answer = client.send_json(method, path, body)
        assert answer.status_code in {400, 401, 404, 409, 415, 422} or path in {"/api/config/check"}, (path, body)
        assert_clean(answer.content + repr(answer.headers).encode(), f"{method} {path} {answer.status_code}")
        asked += 1
    for raw in (f'{{"value": "{CANARY}"', f"{CANARY}", f'{{"value": "{CANARY}\ud800"}}', "[" * 2000 + CANARY):
        answer = client.request("PUT", "/api/keys/openai", content=raw.encode("utf-8", "surrogatepass"))
        assert answer.status_code in {400, 422}
        assert_clean(answer.content, "a body that is not JSON")
    paths = [
        "runs/{}",
        "opd/status?run_id={}",
        "opd/events?run_id={}",
        "opd/metrics?run_id=r1&from={}",
        "datasets/{}",
        "{}",
    ]
    for path in (f"/api/{path.format(CANARY)}" for path in [*paths, "../x.{}"]):
        assert_clean(client.get(path).content, path)
    wrong = client.get("/api/runs", headers={"authorization": f"Bearer {CANARY}", "cookie": f"a={CANARY}"})
    assert wrong.status_code == 401
    assert_clean(wrong.content, "a refused token")
    assert asked > 200
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("http")]
    assert_clean("\n".join(ours).encode(), "the log")


def test_a_kept_key_is_in_its_file_and_nowhere_else(
    client: Client, tmp_path: Path, light_runs: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", CANARY)
    for provider in ("openai", "huggingface"):
        answer = client.send_json("PUT", f"/api/keys/{provider}", {"value": CANARY})
        assert answer.json() == {
            "provider": provider, "present": True, "source": "file",
            "variable": {"openai": "OPENAI_API_KEY", "huggingface": "HF_TOKEN"}[provider],
        }  # fmt: skip
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    run_id = client.run_of("steps=5", "request-1")
    until(lambda: "huggingface" in client.get(f"/api/runs/{run_id}/log").json()["text"], "the run to read its key")
    for context in iter_route_contexts(build_api().routes):
        if "GET" in (context.methods or ()):
            path = str(context.path).replace("{run_id}", run_id).replace("{dataset_id}", "on-policy-prompts")
            assert_clean(client.get(path, params={"run_id": run_id, "ids": run_id}).content, path)
    keys = {item["provider"]: item["source"] for item in client.get("/api/keys").json()["items"]}
    assert (keys["openai"], keys["anthropic"], keys["together"]) == ("file", "environment", None)
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name != "keys.json":
            assert_clean(path.read_bytes(), str(path))
    client.send_json("DELETE", "/api/keys/openai")
    client.send_json("DELETE", "/api/keys/huggingface")
    assert_clean((tmp_path / "keys.json").read_bytes(), "the key file after deletion")
    out, err = capfd.readouterr()
    assert_clean((out + err).encode(), "the terminal")


@pytest.mark.parametrize("value", ["        ", "sk-with space", "sk-ünï-code-long", "sk-line\nbreak-x"])
def test_what_cannot_be_a_key_is_refused_without_repeating_it(client: Client, value: str) -> None:
    answer = client.send_json("PUT", "/api/keys/openai", {"value": value})
    assert answer.status_code == 400
    assert value.strip() == "" or value not in answer.text
    assert Keys(client.server.data_dir).get("openai") is None


def test_an_unknown_provider_is_not_found(client: Client) -> None:
    for method in ("PUT", "DELETE"):
        answer = client.send_json(method, "/api/keys/nobody", {"value": CANARY})
        assert answer.status_code == 404
        assert "openai" in answer.json()["error"]["hint"]


def test_a_bug_says_where_and_not_what(client: Client, tmp_path: Path) -> None:
    """A run whose stored configuration somebody has broken by hand: an error of ours, in words, without its content."""
    folder = tmp_path / "runs" / "20260101-000000-abcd"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(json.dumps({"api_key": CANARY}))
    for path, status in (("/api/runs", 200), ("/api/opd/status", 500), (f"/api/runs/{folder.name}", 400)):
        answer = client.get(path)
        assert answer.status_code == status
        assert_clean(answer.content, path)
