"""A page that is older than its server: kinds, states, fields and events that it has never heard of."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Page, Route, WebSocketRoute, expect

from e2e.studio_process import StudioProcess
from seeded_run import make_run

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

# Words of today and what a later version might say in their place.
NEW_WORDS = {
    ("state", "done"): "hibernating",
    ("phase", "finalizing"): "polishing",
    ("conclusion", "better"): "mostly_better",
    ("severity", "warning"): "astonishing",
    ("status", "ok"): "splendid",
    ("format", "messages"): "telepathy",
    ("subject", "sft"): "oracle",
}
# Configurations go back to the server, which knows its own fields.
SENT_BACK = {"config", "defaults", "demo", "json_schema", "changes"}
# Tables by name: their keys are no fields.
TABLES = {"packages", "versions", "metrics", "latest", "series", "formats", "role_counts", "problem_counts", "verdicts"}
TABLES |= {"values", "runs", "evaluations", "objective_needs", "teacher_provides"}


def newer(value: Any, name: str = "") -> Any:
    """The same answer from a later version: every object has one more field, some values are unknown words."""
    if isinstance(value, dict):
        changed = {key: inner if key in SENT_BACK else _word(key, newer(inner, key)) for key, inner in value.items()}
        return {**changed, "field_of_the_future": {"nested": [1, None, "x"]}} if name not in TABLES else changed
    return [newer(item, name) for item in value] if isinstance(value, list) else value


def _word(key: str, value: Any) -> Any:
    return NEW_WORDS.get((key, value), value) if isinstance(value, str) else value


def answer_as_newer(route: Route) -> None:
    response = route.fetch()
    if "json" not in response.headers.get("content-type", ""):
        route.fulfill(response=response)
    else:
        route.fulfill(response=response, body=json.dumps(newer(response.json())))


def stream_as_newer(socket: WebSocketRoute) -> None:
    server = socket.connect_to_server()

    def pass_on(message: str | bytes) -> None:
        frame = json.loads(message)
        if frame.get("type") == "events":
            for item in frame["items"]:
                item["field_of_the_future"] = 1
                if item["event"]["kind"] in ("checkpoint_saved", "alarm_raised"):
                    item["event"] = {"kind": "planet_aligned", "moons": [1, 2]}
        socket.send(json.dumps({"type": "weather", "mood": "fine"}))
        socket.send(json.dumps({**frame, "field_of_the_future": {}}))

    server.on_message(pass_on)


def test_no_page_breaks(page: Page, studio: StudioProcess) -> None:
    make_run(studio.folder, "one", num_steps=40).end("done", step=40)
    make_run(studio.folder, "two", seed=1, num_steps=30).end("done", step=30)
    page.route("**/api/**", answer_as_newer)
    page.route_web_socket("**/api/opd/ws**", stream_as_newer)
    for address, text in {
        "/runs": "hibernating",
        "/opd/one": "Answers to held-out prompts",
        "/runs/one": "Configuration",
        "/runs/compare?ids=one,two": "Settings that differ",
        "/datasets": "First prompts",
        "/teachers": "On this machine",
        "/settings": "Packages",
        "/opd": "Use the example dataset",
    }.items():
        page.goto(studio.url + address)
        expect(page.get_by_role("main").get_by_text(text).first).to_be_visible()
        expect(page.get_by_text("This page met an error of its own")).to_have_count(0)

    # Points are still all there, and the checks of a run still come and may still be passed.
    page.goto(f"{studio.url}/opd/one")
    page.get_by_role("figure", name="Loss", exact=True).get_by_role("application").focus()
    page.keyboard.press("End")
    expect(page.get_by_role("figure", name="Loss", exact=True).locator("[aria-live]")).to_contain_text("step 40:")
    page.goto(f"{studio.url}/opd")
    page.get_by_role("button", name="Use the example dataset").click()
    expect(page.get_by_text("Pre-flight")).to_be_visible()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_enabled()
