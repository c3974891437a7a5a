"""Runs beyond the five endpoints: list, show, compare, samples, report, log, delete. Looking changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts

from opd.api.app import build_api
from opd.store.files import write_durably
from opd.store.runs import RunStore
from seeded_run import make_run
from studio_in_tests import Client, config, open_studio

pytestmark = pytest.mark.usefixtures("light_runs")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with open_studio(tmp_path) as client:
        yield client


def test_show_and_list(client: Client) -> None:
    first = client.run_of("steps=10", "request-1")
    second = client.run_of("steps=3 fail", "request-2", "failed")
    items = client.get("/api/runs").json()["items"]
    assert [item["run_id"] for item in items] == sorted([first, second], reverse=True)
    failed = next(item for item in items if item["run_id"] == second)
    assert (failed["failure"]["code"], failed["resumable"], failed["step"]) == ("run_failed", True, 3)
    detail = client.get(f"/api/runs/{first}").json()
    assert detail["config"]["name"] == "steps=10"
    assert detail["config_yaml"].startswith("name: steps=10\n")
    assert {"config.yaml", "events.db", "log.txt", "exit.json"} <= {file["name"] for file in detail["files"]}
    assert detail["status"]["state"] == "done"
    assert "given keys" in client.get(f"/api/runs/{first}/log").json()["text"]
    assert len(client.get("/api/runs", params={"limit": 1}).json()["items"]) == 1


def test_samples_are_the_newest_in_order(client: Client) -> None:
    run_id = client.run_of("steps=30", "request-1")
    steps = [item["step"] for item in client.get(f"/api/runs/{run_id}/samples").json()["items"]]
    assert steps == [5, 10, 15, 20, 25, 30]
    newest = client.get(f"/api/runs/{run_id}/samples", params={"limit": 2}).json()["items"]
    assert [item["step"] for item in newest] == [25, 30]


def test_compare(client: Client) -> None:
    ids = [client.run_of(name, f"request-{number}") for number, name in enumerate(("steps=4", "steps=8"))]
    body = client.get("/api/runs/compare", params={"ids": ",".join(ids)}).json()
    assert [difference["path"] for difference in body["config"]] == ["name"]
    assert body["config"][0]["values"] == dict(zip(ids, ["steps=4", "steps=8"], strict=True))
    loss = next(metric for metric in body["metrics"] if metric["name"] == "loss")
    assert loss["runs"][ids[1]] == {"last": 1 / 8, "best": 1 / 8, "best_step": 8}
    assert client.get("/api/runs/compare", params={"ids": ",".join(["a"] * 3 + list("bcdefghi"))}).status_code == 400
    assert client.get("/api/runs/compare", params={"ids": "nope"}).status_code == 404


def test_a_comparison_tells_what_was_gained_and_what_it_cost(client: Client, tmp_path: Path) -> None:
    small = make_run(tmp_path, "small", num_steps=5, levels={"before": 0.33, "after": 0.55})
    large = make_run(tmp_path, "large", num_steps=5)
    outcomes = client.get("/api/runs/compare", params={"ids": f"{small.run_id},{large.run_id}"}).json()["outcomes"]
    assert [outcome["run_id"] for outcome in outcomes] == ["large", "small"]
    for outcome in outcomes:
        assert outcome["metric"] == "exact_match"
        assert outcome["gain_points"]["low"] < outcome["gain_points"]["mean"] < outcome["gain_points"]["high"]
        assert outcome["usd_per_point"] == pytest.approx(outcome["spent_usd"] / outcome["gain_points"]["mean"])


def test_a_report_cannot_do_anything_on_our_origin(client: Client, tmp_path: Path) -> None:
    run = RunStore(tmp_path).create(config())
    assert client.get(f"/api/runs/{run.run_id}/report").status_code == 404
    write_durably(run.path / "report.html", b"<script>alert(1)</script>")
    write_durably(run.path / "report.md", b"# Verdict")
    page = client.get(f"/api/runs/{run.run_id}/report", params={"format": "html"})
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert client.get(f"/api/runs/{run.run_id}/report", params={"format": "md"}).text == "# Verdict"
    assert client.get(f"/api/runs/{run.run_id}/report", params={"format": "exe"}).status_code == 422


@pytest.mark.parametrize(
    "run_id", ["nope", "..%2f..%2fetc", "%2e%2e", "A", "x" * 65, "a%00b", ".hidden", "a/../b", "~root", "a\\b"]
)
def test_an_id_is_never_a_path(client: Client, run_id: str) -> None:
    for path in (f"/api/runs/{run_id}", f"/api/runs/{run_id}/log", f"/api/opd/status?run_id={run_id}"):
        assert client.get(path).status_code in {404, 422}
    assert client.send_json("DELETE", f"/api/runs/{run_id}").status_code in {404, 405, 422}


def test_delete_leaves_nothing(client: Client, tmp_path: Path) -> None:
    run_id = client.run_of("steps=2", "request-1")
    assert client.send_json("DELETE", f"/api/runs/{run_id}").json() == {"run_id": run_id}
    assert client.get(f"/api/runs/{run_id}").status_code == 404
    assert list((tmp_path / "runs").iterdir()) == []
    assert client.start("steps=2", "request-1").status_code == 404, "the request's run is gone, and stays gone"


@pytest.mark.parametrize(
    ("name", "content"), [("config.yaml", b"[1"), ("config.yaml", b"\xff"), ("events.db", b"no" * 999)]
)
def test_one_damaged_run_does_not_hide_the_others(client: Client, tmp_path: Path, name: str, content: bytes) -> None:
    store = RunStore(tmp_path)
    good, bad = store.create(config()), store.create(config())
    (bad.path / name).write_bytes(content)
    items = {item["run_id"]: item for item in client.get("/api/runs").json()["items"]}
    assert items[good.run_id]["failure"] is None
    assert items[bad.run_id]["failure"]["message"]
    answer = client.get("/api/opd/status", params={"run_id": bad.run_id})
    assert answer.status_code in {400, 500}
    assert answer.json()["error"]["code"] in {"config_invalid", "storage_failed"}
    assert client.send_json("DELETE", f"/api/runs/{bad.run_id}").status_code == 200


def contents(folder: Path) -> dict[str, str]:
    """Digest of every file. Left out is what any reader may make and remove: SQLite's shared-memory index, and a
    write-ahead log with nothing in it."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("-shm")]
    found = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    return {
        name: hashlib.sha256(content).hexdigest()
        for name, content in found.items()
        if content or not name.endswith("-wal")
    }


def test_looking_changes_nothing(client: Client, tmp_path: Path) -> None:
    run_id = client.run_of("steps=10", "request-1")
    client.get("/api/datasets")
    before = contents(tmp_path)
    asked = 0
    for context in iter_route_contexts(build_api().routes):
        if "GET" not in (context.methods or ()):
            continue
        path = str(context.path).replace("{run_id}", run_id).replace("{dataset_id}", "on-policy-prompts")
        for method in ("GET", "HEAD"):
            answer = client.request(method, path, params={"run_id": run_id, "ids": run_id})
            assert answer.status_code < 500
            asked += answer.status_code == 200
    assert asked >= 15
    assert contents(tmp_path) == before


def test_tags_are_kept_beside_the_run_and_change_nothing_else(client: Client) -> None:
    run_id = client.run_of("steps=3", "request-1")
    config = client.get(f"/api/runs/{run_id}").json()["config_yaml"]
    answer = client.send_json("PUT", f"/api/runs/{run_id}/tags", {"tags": [" baseline", "to  show", "baseline"]})
    assert answer.json() == {"tags": ["baseline", "to show"]}
    assert client.get("/api/runs").json()["items"][0]["tags"] == ["baseline", "to show"]
    assert client.get(f"/api/runs/{run_id}").json()["config_yaml"] == config
    assert client.send_json("PUT", f"/api/runs/{run_id}/tags", {"tags": ["x" * 41]}).status_code == 422
    assert client.send_json("PUT", "/api/runs/nobody/tags", {"tags": []}).status_code == 404
    client.send_json("PUT", f"/api/runs/{run_id}/tags", {"tags": []})
    assert client.get("/api/runs").json()["items"][0]["tags"] == []
