"""A real studio on a loopback port for tests, a client for it, and waiting without guessing how long."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from opd.config import RunConfig, parse_config
from opd.main import StudioServer
from opd.teachers.addresses import tls_context

LIGHT_PIPELINE = ("-P", str(Path(__file__).with_name("light_run.py")))
PROMPTS = Path(__file__).resolve().parents[2] / "examples" / "data" / "on_policy_prompts.jsonl"


def settings(name: str = "steps=3", **changes: Any) -> dict[str, Any]:
    """A run configuration as the page sends it; its name tells the light pipeline what to do."""
    return {
        "name": name,
        "student": {"model": "nobody/student"},
        "teacher": {"type": "local", "model": "nobody/teacher"},
        "data": {"path": str(PROMPTS)},
        **changes,
    }


def config(name: str = "steps=3", **changes: Any) -> RunConfig:
    return parse_config(settings(name, **changes))


def until(found: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Poll until `found` gives something true; it comes back. A generous limit that only a hang reaches."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.02)
    return value


class Client(httpx2.Client):
    """Speaks to a studio as the command line does: token, JSON, the header that changes need."""

    def __init__(self, server: StudioServer):
        headers = {"authorization": f"Bearer {server.token}", "x-opd": "1", "content-type": "application/json"}
        tls = tls_context(trust_env=False)
        super().__init__(base_url=server.url, headers=headers, timeout=60, trust_env=False, verify=tls)
        self.server = server

    def send_json(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        return self.request(method, path, content=json.dumps({} if body is None else body))

    def start(self, name: str, request_id: str, **changes: Any) -> httpx2.Response:
        body = {"request_id": request_id, "config": settings(name, **changes)}
        return self.send_json("POST", "/api/opd/start", body)

    def run_of(self, name: str, request_id: str, state: str = "done") -> str:
        """Start a run and wait until it is in a state."""
        answer = self.start(name, request_id)
        assert answer.status_code == 200, answer.text
        run_id: str = answer.json()["run_id"]
        self.wait_for(run_id, state)
        return run_id

    def state(self, run_id: str) -> str:
        answer = self.get("/api/opd/status", params={"run_id": run_id})
        return str(answer.json()["state"])

    def wait_for(self, run_id: str, state: str) -> None:
        until(lambda: self.state(run_id) == state, f"{run_id} to be {state}")


@contextmanager
def open_studio(folder: Path) -> Iterator[Client]:
    """A studio in a thread of this process, on a free port."""
    with StudioServer(folder, port=0) as server, Client(server) as client:
        yield client
