"""Exports over REST: a real child exports a real run; refusals, and ends that nobody saw."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from opd.store.exports import ExportRecord, exports_path, write_record
from opd.store.files import read_json
from opd.store.runs import RunFolder
from studio_in_tests import Client, open_studio, until
from tokenizers_in_tests import byte_level, model_for
from trained_run import a_run, dividing_by

pytestmark = pytest.mark.usefixtures("warm_interpreters")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    tokenizer = dividing_by("qwen2", byte_level("one_digit"))
    run = a_run(tmp_path_factory.mktemp("data"), model_for(tokenizer), tokenizer)
    run.end("done", step=4)
    return run


@pytest.fixture(scope="module")
def client(trained: RunFolder) -> Iterator[Client]:
    with open_studio(trained.path.parents[1]) as client:
        yield client


def ask(client: Client, run: RunFolder, form: str, **more: Any) -> Any:
    return client.send_json("POST", f"/api/runs/{run.run_id}/export", {"form": form, **more})


def record(client: Client, run: RunFolder, form: str) -> dict[str, Any]:
    items = client.get(f"/api/runs/{run.run_id}/exports").json()["items"]
    found: dict[str, Any] = next(item for item in items if item["form"] == form)
    return found


def ended(client: Client, run: RunFolder, form: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = record(client, run, form)
        return found if found["state"] != "running" else None

    found: dict[str, Any] = until(look, f"the export as {form}", 180)
    return found


def test_one_at_a_time_into_the_runs_own_folder(client: Client, trained: RunFolder) -> None:
    assert client.get(f"/api/runs/{trained.run_id}/exports").json()["items"] == []
    first = ask(client, trained, "ollama", precision="f32")
    assert (first.status_code, first.json()["state"]) == (200, "running")
    assert ask(client, trained, "ollama").json()["form"] == "ollama", "asking again starts nothing"
    other = ask(client, trained, "merged")
    assert (other.status_code, other.json()["error"]["code"]) == (409, "busy")
    assert client.send_json("DELETE", f"/api/runs/{trained.run_id}").status_code == 409
    done = ended(client, trained, "ollama")
    assert done["error"] is None
    assert (done["state"], done["done"], done["total"]) == ("done", 3, 3)
    assert Path(done["report"]["path"]) == exports_path(trained) / "ollama"
    assert {file["name"] for file in done["report"]["files"]} == {"Modelfile", "model.gguf", "opd-export.json"}
    assert done["report"]["precision"] == "f32"


def test_what_cannot_be_exported_says_why(client: Client, trained: RunFolder) -> None:
    assert ask(client, trained, "lora").status_code == 200
    failed = ended(client, trained, "lora")
    assert failed["state"] == "failed"
    assert "trained all weights" in failed["error"]["message"]
    assert ask(client, trained, "lora", path="/tmp/x").status_code == 422, "a path is never taken from outside"
    assert ask(client, trained, "onnx").status_code == 422
    assert client.send_json("POST", "/api/runs/nope/export", {"form": "gguf"}).status_code == 404


def test_a_killed_export_can_be_asked_for_again(client: Client, trained: RunFolder) -> None:
    assert ask(client, trained, "merged").status_code == 200
    kept = read_json(exports_path(trained) / "merged.json")
    os.kill(kept["process"]["pid"], signal.SIGKILL)
    failed = ended(client, trained, "merged")
    assert (failed["state"], failed["error"]["code"]) == ("failed", "export_interrupted")
    assert ask(client, trained, "merged").status_code == 200
    assert ended(client, trained, "merged")["state"] == "done"


def test_a_number_that_another_process_has_now_is_not_taken_for_the_export(client: Client, trained: RunFolder) -> None:
    write_record(trained, ExportRecord(form="gguf", state="running"), pid=psutil.Process().pid)
    path = exports_path(trained) / "gguf.json"
    path.write_text(path.read_text().replace('"create_time": ', '"create_time": 1'))
    assert record(client, trained, "gguf")["error"]["code"] == "export_interrupted"
    path.write_text("{torn")
    assert all(item["form"] != "gguf" for item in client.get(f"/api/runs/{trained.run_id}/exports").json()["items"])
