"""The five endpoints and the events, on a real server with real (model-less) runs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from opd.events import StepLogged
from opd.store.runs import RunStore
from studio_in_tests import Client, config, open_studio, settings, until

pytestmark = pytest.mark.usefixtures("light_runs")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with open_studio(tmp_path) as client:
        yield client


def test_start_watch_stop_resume_end(client: Client) -> None:
    assert client.get("/api/opd/status").status_code == 404
    started = client.start("steps=60 rate=40", "request-1").json()
    assert started["state"] in {"running", "done"}
    run_id = started["run_id"]
    until(lambda: client.get("/api/opd/status").json()["summary"]["step"] >= 2, "two steps")
    status = client.get("/api/opd/status").json()
    assert (status["run_id"], status["name"], status["resumable"]) == (run_id, "steps=60 rate=40", False)
    assert status["summary"]["phase"] == "distilling"
    assert status["seconds_elapsed"] > 0
    stopped = client.send_json("POST", "/api/opd/stop", {"run_id": run_id}).json()
    assert stopped["state"] in {"stopping", "stopped"}
    client.wait_for(run_id, "stopped")
    assert client.get("/api/opd/status").json()["resumable"] is True
    resumed = client.send_json("POST", f"/api/runs/{run_id}/resume")
    assert resumed.json()["state"] in {"running", "done"}
    client.wait_for(run_id, "done")
    status = client.get("/api/opd/status", params={"run_id": run_id}).json()
    assert (status["summary"]["step"], status["summary"]["num_resumes"]) == (60, 1)
    assert status["summary"]["exactness"] == "exact"
    again = client.send_json("POST", f"/api/runs/{run_id}/resume")
    assert (again.status_code, again.json()["error"]["code"]) == (400, "input_unusable")


def test_a_busy_device_answers_with_the_run_that_has_it(client: Client) -> None:
    run_id = client.start("steps=100000 rate=20", "request-1").json()["run_id"]
    busy = client.start("steps=1", "request-2")
    assert busy.status_code == 409
    assert busy.json()["error"]["code"] == "busy"
    assert busy.json()["error"]["details"] == {"run_id": run_id}
    same = client.start("steps=100000 rate=20", "request-1")
    assert (same.status_code, same.json()["run_id"]) == (200, run_id)
    assert client.send_json("DELETE", f"/api/runs/{run_id}").status_code == 409
    client.send_json("POST", "/api/opd/stop", {"run_id": run_id, "mode": "discard"})
    client.wait_for(run_id, "stopped")


def test_fifty_presses_of_start_are_one_run(client: Client, tmp_path: Path) -> None:
    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(lambda i: client.start("steps=1000 rate=50", f"request-{i}"), range(50)))
    (run,) = RunStore(tmp_path)
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200, *[409] * 49]
    assert {a.json()["error"]["details"]["run_id"] for a in answers if a.status_code == 409} == {run.run_id}
    client.send_json("POST", "/api/opd/stop", {"run_id": run.run_id})
    client.wait_for(run.run_id, "stopped")


def test_state_and_cause_of_a_run_that_was_killed(client: Client) -> None:
    run_id = client.run_of("steps=5 die=9", "request-1", "interrupted")
    failure = until(lambda: client.get("/api/opd/status").json()["failure"], "the cause")
    assert failure["code"] == "process_killed"
    assert client.get("/api/runs").json()["items"][0]["run_id"] == run_id


def test_metrics_keep_spikes_and_gaps(client: Client, tmp_path: Path) -> None:
    run = RunStore(tmp_path).create(config())
    writer = run.writer()
    writer.append(
        *(StepLogged(step=s, metrics={"loss": 99.0 if s == 777 else 1.0, "x/y": None}) for s in range(1, 5001))
    )
    writer.close()
    answer = client.get("/api/opd/metrics", params={"run_id": run.run_id, "keys": "loss,x/y,nothing", "max_points": 50})
    body = answer.json()
    assert body["last_step"] == 5000
    assert body["series"]["nothing"] == []
    loss = body["series"]["loss"]
    assert len(loss) == 50
    assert max(bucket["max"] for bucket in loss) == 99.0
    assert sum(bucket["num"] for bucket in loss) == 5000
    assert all(bucket["num_missing"] == 100 and bucket["mean"] is None for bucket in body["series"]["x/y"])
    part = client.get("/api/opd/metrics", params={"run_id": run.run_id, "keys": "loss", "from": 770, "to": 780}).json()
    assert [bucket["first_step"] for bucket in part["series"]["loss"]] == list(range(770, 781))
    everything = client.get("/api/opd/metrics", params={"run_id": run.run_id}).json()["series"]
    assert sorted(everything) == ["loss", "x/y"]
    too_many = ",".join(f"k{i}" for i in range(65))
    assert client.get("/api/opd/metrics", params={"run_id": run.run_id, "keys": too_many}).status_code == 400


def test_events_come_in_pages(client: Client) -> None:
    run_id = client.run_of("steps=20", "request-1")
    seqs, after = [], 0
    while items := client.get("/api/opd/events", params={"run_id": run_id, "after": after, "limit": 7}).json()["items"]:
        assert len(items) <= 7
        seqs += [item["seq"] for item in items]
        after = seqs[-1]
    assert seqs == list(range(1, len(seqs) + 1))
    assert len(seqs) == 20 + 2 + 4 + 1


def test_the_estimate_of_the_scenario_table_is_the_one_that_was_asked_for(client: Client) -> None:
    body = client.send_json("POST", "/api/opd/estimate-cost", {"scenarios": True}).json()
    rows = {(row["model"], row["num_prompts"]): row for row in body["scenarios"]}
    shown = {key: row["usd_shown"] for key, row in rows.items()}
    assert shown == {
        ("openai/gpt-4o-mini", 5): "$0.01",
        ("anthropic/claude-3.5-sonnet", 5): "$0.15",
        ("openai/gpt-4o-mini", 119): "$1.78",
        ("anthropic/claude-3.5-sonnet", 119): "$35.70",
    }
    assert rows["openai/gpt-4o-mini", 119]["num_tokens"] == 11_900_000
    assert rows["openai/gpt-4o-mini", 5]["num_tokens"] == 50_000


def test_a_local_teacher_costs_nothing(client: Client) -> None:
    body = client.send_json("POST", "/api/opd/estimate-cost", {"config": settings()}).json()
    assert (body["teacher_is_paid"], body["low_usd"], body["high_usd"]) == (False, 0, 0)
    assert body["assumptions"]
    missing = client.send_json("POST", "/api/opd/estimate-cost", {"config": settings(data={"path": "/nowhere"})})
    assert (missing.status_code, missing.json()["error"]["code"]) == (400, "data_invalid")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"request_id": "request-1"}, ["(whole request)"]),
        ({"request_id": "x", "demo": True}, ["request_id"]),
        ({"request_id": "request-1", "config": settings(), "demo": True}, ["(whole request)"]),
        ({"request_id": "request-1", "config": {**settings(), "max_steps": 0}}, ["config.max_steps"]),
        (
            {
                "request_id": "request-1",
                "config": settings(teacher={"type": "chat", "model": "openai/x"}, objective={"type": "divergence"}),
            },
            ["config"],
        ),
        ({"request_id": "request-1", "config": settings(data={"pth": "x"})}, ["config.data.path", "config.data.pth"]),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_used_names_its_fields(client: Client, body: dict, fields: list[str]) -> None:
    answer = client.send_json("POST", "/api/opd/start", body)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "request_invalid"
    assert [field["path"] for field in error["details"]["fields"]] == fields
