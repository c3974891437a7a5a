"""Datasets: bundled ones, uploads good and bad, limits, removal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from opd.api import uploads
from studio_in_tests import PROMPTS, Client, open_studio

LINE = json.dumps({"messages": [{"role": "user", "content": "What moves lithium?"}]}) + "\n"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with open_studio(tmp_path) as client:
        yield client


def upload(client: Client, body: bytes | Iterator[bytes], name: str = "mine.jsonl") -> dict:
    headers = {"content-type": "application/octet-stream"}
    answer = client.post("/api/datasets", params={"name": name}, content=body, headers=headers)
    return {"status": answer.status_code, **answer.json()}


def test_the_examples_are_there(client: Client) -> None:
    items = {item["id"]: item for item in client.get("/api/datasets").json()["items"]}
    assert items["on-policy-prompts"]["num_samples"] == 119
    assert items["on-policy-prompts-test"]["num_samples"] == 5
    assert Path(items["on-policy-prompts"]["path"]) == PROMPTS
    detail = client.get("/api/datasets/on-policy-prompts").json()
    assert detail["report"]["num_system_messages"] == 119
    assert len(detail["preview"]) == 20
    assert detail["preview"][0]["messages"][0]["role"] == "system"
    refused = client.send_json("DELETE", "/api/datasets/on-policy-prompts")
    assert refused.status_code == 400
    assert PROMPTS.is_file()


def test_an_upload_is_kept_found_and_removed(client: Client, tmp_path: Path) -> None:
    answer = upload(client, LINE.encode() * 3, "Mein Datensatz (v2).jsonl")
    assert answer["status"] == 200
    dataset = answer["dataset"]
    assert (dataset["name"], dataset["origin"], dataset["num_samples"]) == ("Mein Datensatz (v2).jsonl", "uploaded", 3)
    assert dataset["id"].startswith("mein-datensatz-v2-")
    assert Path(dataset["path"]).read_bytes() == LINE.encode() * 3
    assert answer["report"]["num_duplicates"] == 2
    detail = client.get(f"/api/datasets/{dataset['id']}").json()
    assert detail["report"] == answer["report"]
    assert [prompt["line"] for prompt in detail["preview"]] == [1, 2, 3]
    Path(dataset["path"]).write_text(LINE)
    assert client.get(f"/api/datasets/{dataset['id']}").json()["report"]["num_samples"] == 1, (
        "a changed file is read anew"
    )
    assert dataset["id"] in {item["id"] for item in client.get("/api/datasets").json()["items"]}
    assert client.send_json("DELETE", f"/api/datasets/{dataset['id']}").status_code == 200
    assert client.get(f"/api/datasets/{dataset['id']}").status_code == 404
    assert list((tmp_path / "datasets").iterdir()) == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "/", "a\x00b", "…", "con", "x" * 200, "<img src=x>"])
def test_a_name_is_for_people_only(client: Client, tmp_path: Path, name: str) -> None:
    answer = upload(client, LINE.encode(), name)
    assert answer["status"] == 200
    assert answer["dataset"]["name"] == name
    assert Path(answer["dataset"]["path"]).parent == tmp_path / "datasets"


def test_a_bad_file_is_reported_and_not_kept(client: Client, tmp_path: Path) -> None:
    answer = upload(client, LINE.encode() + b'{"messages": "no"}\n{broken\n')
    assert (answer["status"], answer["dataset"]) == (200, None)
    assert answer["report"]["path"] == "mine.jsonl"
    assert [problem["line"] for problem in answer["report"]["problems"]] == [2, 3]
    assert all(problem["fix"] for problem in answer["report"]["problems"])
    assert list((tmp_path / "datasets").iterdir()) == []


def test_a_large_file_is_refused_while_it_comes(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_UPLOAD_BYTES", 100_000)
    answer = upload(client, (LINE.encode() * 100 for _ in range(100)))
    assert (answer["status"], answer["error"]["code"]) == (400, "input_unusable")
    assert list((tmp_path / "datasets").iterdir()) == []


def test_an_upload_that_breaks_off_leaves_nothing(client: Client, tmp_path: Path) -> None:
    import socket

    from studio_in_tests import until

    with socket.create_connection(("127.0.0.1", client.server.port)) as line:
        line.sendall(
            (
                f"POST /api/datasets?name=x.jsonl HTTP/1.1\r\nHost: 127.0.0.1:{client.server.port}\r\n"
                f"Authorization: Bearer {client.server.token}\r\nX-OPD: 1\r\n"
                "Content-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\nhalf"
            ).encode()
        )
        until(lambda: list((tmp_path / "datasets").glob(".incoming-*")), "the upload to begin")
    until(lambda: not list((tmp_path / "datasets").iterdir()), "it to be cleaned up")
    assert client.get("/api/health").status_code == 200
