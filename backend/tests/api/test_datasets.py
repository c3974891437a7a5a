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


def test_the_good_lines_of_a_bad_file_can_be_kept_and_come_out_clean(client: Client, tmp_path: Path) -> None:
    alpaca = json.dumps({"instruction": "Sum", "input": "1 and 2", "output": "3"})
    share = json.dumps({"conversations": [{"from": "human", "value": "What moves  lithium?"}]})
    body = f"\ufeff{LINE}not json\n{alpaca}\n\n{share}\n{LINE}".encode()
    assert upload(client, body)["dataset"] is None
    headers = {"content-type": "application/octet-stream"}
    params = {"name": "mine.jsonl", "clean": "true"}
    answer = client.post("/api/datasets", params=params, content=body, headers=headers).json()
    assert (answer["dataset"]["num_samples"], answer["report"]["num_errors"]) == (2, 0)
    cleaned = client.get(f"/api/datasets/{answer['dataset']['id']}/cleaned")
    assert cleaned.headers["content-disposition"] == (f'attachment; filename="{answer["dataset"]["id"]}-cleaned.jsonl"')
    assert [json.loads(line) for line in cleaned.text.splitlines()] == [
        json.loads(LINE),
        {"messages": [{"role": "user", "content": "Sum\n\n1 and 2"}], "answer": "3"},
    ]
    again = upload(client, cleaned.content)
    assert again["report"]["num_errors"] == again["report"]["num_duplicates"] == 0
    only_bad = client.post("/api/datasets", params=params, content=b"not json\n", headers=headers).json()
    assert only_bad["dataset"] is None


def test_prompts_that_two_files_share_are_counted(client: Client) -> None:
    first = upload(client, LINE.encode() + LINE.replace("lithium", "copper").encode(), "train.jsonl")["dataset"]["id"]
    second = upload(client, LINE.replace("moves", "moves ").encode(), "test.jsonl")["dataset"]["id"]
    for one, other, name in ((first, second, "test.jsonl"), (second, first, "train.jsonl")):
        overlaps = client.get(f"/api/datasets/{one}").json()["overlaps"]
        assert overlaps == [{"dataset_id": other, "name": name, "num_prompts": 1}]
    assert client.get("/api/datasets/demo-arithmetic").json()["overlaps"] == []


def test_prompts_are_shown_as_a_model_reads_them(client: Client) -> None:
    models = client.get("/api/teachers").json()["local_models"]
    student = next(model for model in models if model["label"] == "Demo student")
    found = client.get("/api/datasets/demo-arithmetic/rendered", params={"model": student["id"]}).json()
    first = found["prompts"][0]
    text = "".join(token["text"] for token in first["tokens"])
    prompt = client.get("/api/datasets/demo-arithmetic").json()["preview"][0]["messages"][0]["content"]
    assert text == f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
    assert [token["text"] for token in first["tokens"] if token["special"]] == [
        "<|im_start|>",
        "<|im_end|>",
        "<|im_start|>",
    ]
    assert first["num_tokens"] == len(first["tokens"])
    assert (found["num_counted"], found["context_length"], found["end"]) == (119, 512, "<|im_end|>")
    assert found["shortest"] <= found["median"] <= found["longest"]
    missing = client.get("/api/datasets/demo-arithmetic/rendered", params={"model": "nobody/nothing"})
    assert (missing.status_code, missing.json()["error"]["code"]) == (400, "model_not_found")
