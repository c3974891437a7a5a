"""The API does what its own description says, whatever it is sent: generated requests against a real server.

Requests come one by one, and in chains where an answer's ids go into the next request. More than 5,000 in the short
form; `make torture` sends more than 100,000. Both print their counts.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from opd.api.app import build_api
from opd.api.openapi import TARGET, render
from opd.store.runs import RunStore
from studio_in_tests import Client, config, open_studio
from studio_in_tests import settings as run_settings

LONG = "OPD_TORTURE_MINUTES" in os.environ
SHARE = min(1.0, float(os.environ.get("OPD_TORTURE_MINUTES", "0")) / 30)
"""Of the long form, which takes half an hour."""
NUM_EXAMPLES, NUM_CHAINS, CHAIN_STEPS = max(14, round(1_400 * SHARE)), max(24, round(3_600 * SHARE)), 12
LEAST = max(5_000, round(100_000 * SHARE))


def every_refusal_has_words(ctx: object, response: schemathesis.Response, case: schemathesis.Case) -> None:
    """Whoever is refused is told what was found and what to do next."""
    if response.status_code < 400:
        return
    error = response.json()["error"]
    first = error["message"].split(" ")[0]
    names_something = any(mark in first for mark in "./:'`")  # a setting, a path, an address, what was given
    assert first[:1].isupper() or first[:1].isdigit() or names_something, error
    assert error["message"].endswith((".", "!", "?", ")")), error
    assert error["hint"], error


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    every_refusal_has_words,
]


def described() -> dict[str, Any]:
    """The API's own document, with what a start leads to: the run it names."""
    document = build_api().openapi()
    follow = {
        operation["operationId"]: {
            "operationId": operation["operationId"],
            "parameters": {"run_id": "$response.body#/run_id"},
        }
        for methods in document["paths"].values()
        for operation in methods.values()
        if any(parameter["name"] == "run_id" for parameter in operation.get("parameters", []))
    }
    stop = document["paths"]["/api/opd/stop"]["post"]["operationId"]
    follow[stop] = {"operationId": stop, "requestBody": {"run_id": "$response.body#/run_id"}}
    document["paths"]["/api/opd/start"]["post"]["responses"]["200"]["links"] = follow
    return document


DOCUMENT = described()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
# A probe takes a process each time: the short form sends it generated requests, but none for every edge of its schema.
PROBES = schemathesis.openapi.from_dict(DOCUMENT).include(path="/api/teachers/probe")
PROBES.config.phases.coverage.enabled = LONG
pytestmark = pytest.mark.usefixtures("warm_interpreters")  # a pre-flight asks the teacher in a process of its own
FORM = pytest.mark.torture if LONG else pytest.mark.slow
SENT: Counter[int] = Counter()


FUZZ = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch:
        import opd.jobs
        from studio_in_tests import LIGHT_PIPELINE

        patch.setattr(opd.jobs, "PIPELINE", LIGHT_PIPELINE)
        patch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
        folder = tmp_path_factory.mktemp("studio")
        RunStore(folder).create(config(), "known-run")
        with open_studio(folder) as client:
            yield client
        for run in RunStore(folder):
            run.request_stop("discard")


@pytest.fixture(scope="module")
def session(studio: Client) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.headers.update({"authorization": f"Bearer {studio.server.token}", "x-opd": "1"})
        yield session


def check(case: schemathesis.Case, response: schemathesis.Response) -> None:
    SENT[response.status_code] += 1
    case.validate_response(response, checks=CHECKS)


@pytest.mark.timeout(7200 if LONG else 900)
@FORM
@SCHEMA.exclude(path="/api/teachers/probe").parametrize()
@settings(FUZZ, max_examples=NUM_EXAMPLES)
def test_every_answer_is_the_one_described(case: schemathesis.Case, studio: Client, session: requests.Session) -> None:
    check(case, case.call(base_url=studio.server.url.rstrip("/"), session=session, timeout=300))


@pytest.mark.timeout(7200 if LONG else 900)
@FORM
@PROBES.parametrize()
@settings(FUZZ, max_examples=max(5, NUM_EXAMPLES // 20))
def test_every_answer_of_a_probe(case: schemathesis.Case, studio: Client, session: requests.Session) -> None:
    check(case, case.call(base_url=studio.server.url.rstrip("/"), session=session, timeout=300))


@pytest.mark.timeout(7200 if LONG else 900)
@FORM
def test_chains_of_requests(studio: Client, session: requests.Session) -> None:
    """Runs that were started are followed, stopped, resumed and deleted; datasets come and go."""

    class Chain(SCHEMA.as_state_machine()):  # type: ignore[misc]  # made at run time
        def setup(self) -> None:
            for run in studio.get("/api/runs").json()["items"]:  # a device that is free, so that a start can succeed
                studio.send_json("POST", "/api/opd/stop", {"run_id": run["run_id"], "mode": "discard"})

        def before_call(self, case: schemathesis.Case) -> None:
            if case.path == "/api/opd/start" and isinstance(case.body, dict):  # a random one seldom makes a run
                case.body["config"] = run_settings("steps=2")

        def get_call_kwargs(self, case: schemathesis.Case) -> dict[str, Any]:
            return {"base_url": studio.server.url.rstrip("/"), "session": session, "timeout": 300}

        def validate_response(self, response: schemathesis.Response, case: schemathesis.Case, **_: Any) -> None:
            check(case, response)

    Chain.run(settings=settings(FUZZ, max_examples=NUM_CHAINS, stateful_step_count=CHAIN_STEPS))


@FORM
def test_requests_of_all_kinds_were_sent(tell: Callable[[str], None]) -> None:
    """Every operation's tests run in one process: the files of this suite are not spread over several."""
    total = sum(SENT.values())
    num_5xx = sum(number for status, number in SENT.items() if status >= 500)
    tell(f"API fuzz: {total:,} requests, {num_5xx} with a 5xx, 0 that the description does not cover: {dict(SENT)}")
    assert total >= LEAST
    assert SENT[200] > total / 40, "a fuzz in which nothing succeeds proves little"
    assert SENT[422] > total / 20
    assert not [status for status in SENT if status >= 500]


def test_the_committed_document_is_the_one_the_routes_give() -> None:
    assert TARGET.read_text(encoding="utf-8") == render()


def test_the_event_union_and_every_error_reach_the_document() -> None:
    document = build_api().openapi()
    schemas = document["components"]["schemas"]
    kinds = schemas["StoredEvent"]["properties"]["event"]["discriminator"]["mapping"]
    assert {"StateFrame", "EventsFrame", "CaughtUpFrame"} <= set(schemas), "what the WebSocket sends"
    assert {"run_started", "step_logged", "verdict_reached", "run_finished"} <= set(kinds)
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))
    for path in document["paths"].values():
        for operation in path.values():
            refused = operation["responses"]["422"]["content"]["application/json"]["schema"]
            assert refused == {"$ref": "#/components/schemas/ErrorAnswer"}
    assert schemas["RunStatus"]["additionalProperties"] is False


def test_a_config_travels_unchanged(studio: Client) -> None:
    sent = run_settings("steps=1", on_policy_fraction=0.4, seed=7)
    checked = studio.send_json("POST", "/api/config/check", {"config": sent}).json()
    assert checked["ok"]
    again = studio.send_json("POST", "/api/config/check", {"config": checked["config"]}).json()
    assert again["config"] == checked["config"]
    assert (again["config"]["on_policy_fraction"], again["config"]["seed"]) == (0.4, 7)
