"""What a teacher wrote, read and struck through the API; the folder's files are as a run leaves them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from opd.pipeline.results import Results
from opd.store.runs import RunFolder, RunStore
from opd.store.written import struck_prompts
from studio_in_tests import Client, config, open_studio

pytestmark = pytest.mark.usefixtures("light_runs")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with open_studio(tmp_path) as client:
        yield client


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunStore(tmp_path).create(config())


def test_a_run_without_such_stages_has_nothing_to_read(client: Client, run: RunFolder) -> None:
    found = client.get(f"/api/runs/{run.run_id}/written").json()
    assert (found["prompts"], found["set_aside"], found["may_strike"], found["num_refreshes"]) == ([], [], False, 0)
    assert client.get(f"/api/runs/{run.run_id}/marks").status_code == 404
    assert client.get("/api/runs/nope/written").status_code == 404


def test_prompts_are_struck_until_they_are_answered(client: Client, run: RunFolder) -> None:
    results, address = Results(run.path), f"/api/runs/{run.run_id}/written"
    kept = {"kept": ["one", "two", "three"], "removed": {"copy": ["one"]}, "set_aside": [], "diversity": {"num": 3}}
    results.put("expansion", kept)
    assert client.put(f"{address}/struck", json={"numbers": [1]}).json()["prompts"][1] == {
        "number": 1,
        "text": "two",
        "struck": True,
    }
    assert client.put(f"{address}/struck", json={"numbers": [3]}).status_code == 400
    assert struck_prompts(run.path) == {1}
    problem = {"prompt": 0, "reason": "The teacher refused.", "text": "I cannot"}
    results.put("text_answers", {"rows": [], "set_aside": [problem]})
    found = client.get(address).json()
    assert found["removed"] == {"copy": 1}
    assert found["set_aside"] == [{"reason": "The teacher refused.", "text": "I cannot"}]
    assert client.put(f"{address}/struck", json={"numbers": []}).status_code == 400
    assert struck_prompts(run.path) == {1}


def test_marks_of_a_round(client: Client, run: RunFolder) -> None:
    read = {"prompt": 0, "ids": [1], "finished": True, "text": "a\nb", "marks": [["keep", "a"], ["replace", "B"]]}
    unread = {"prompt": 4, "ids": [1], "finished": True, "text": "c", "marks": None}
    drafts = [read | {"problem": None}, unread | {"problem": {"reason": "no JSON", "text": "Well"}}]
    Results(run.path).put("marks-00000", {"step": 25, "drafts": drafts})
    found = client.get(f"/api/runs/{run.run_id}/marks", params={"refresh": 0}).json()
    assert found["step"] == 25
    assert found["drafts"][0]["marks"][1] == {"verdict": "replace", "text": "B"}
    assert found["drafts"][1]["problem"] == {"reason": "no JSON", "text": "Well"}
    assert client.get(f"/api/runs/{run.run_id}/marks", params={"refresh": 1}).status_code == 404
