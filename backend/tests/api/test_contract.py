"""The API does what its own description says, whatever it is sent: generated requests against a real server.

The short form sends about 2,800 requests; the environment's `OPD_FUZZ_EXAMPLES` (10 an operation) makes it longer.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

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

NUM_EXAMPLES = int(os.environ.get("OPD_FUZZ_EXAMPLES", "10"))


def every_refusal_has_words(ctx: object, response: schemathesis.Response, case: schemathesis.Case) -> None:
    """Whoever is refused is told what was found and what to do next."""
    if response.status_code < 400:
        return
    error = response.json()["error"]
    assert error["message"][:1].isupper() or error["message"][:1] in "'`/", error
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
SCHEMA = schemathesis.openapi.from_dict(build_api().openapi())
SENT: Counter[int] = Counter()


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


@pytest.mark.timeout(900)
@SCHEMA.parametrize()
@settings(
    max_examples=NUM_EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_the_one_described(case: schemathesis.Case, studio: Client, session: requests.Session) -> None:
    response = case.call(base_url=studio.server.url.rstrip("/"), session=session, timeout=60)
    SENT[response.status_code] += 1
    case.validate_response(response, checks=CHECKS)


def test_requests_of_all_kinds_were_sent() -> None:
    if sum(SENT.values()) < 1000:
        pytest.skip("counts what the fuzz above has sent, where it ran in this process")
    assert SENT[200] > 100, "a fuzz in which nothing succeeds proves little"
    assert SENT[422] > 100
    assert not [status for status in SENT if status >= 500]


def test_the_committed_document_is_the_one_the_routes_give() -> None:
    assert TARGET.read_text(encoding="utf-8") == render()


def test_the_event_union_and_every_error_reach_the_document() -> None:
    document = build_api().openapi()
    schemas = document["components"]["schemas"]
    kinds = schemas["StoredEvent"]["properties"]["event"]["discriminator"]["mapping"]
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
