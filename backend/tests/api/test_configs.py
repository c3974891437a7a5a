"""Configurations before they become runs: read from YAML, checked, written as YAML."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from studio_in_tests import Client, open_studio, settings


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with open_studio(tmp_path) as client:
        yield client


def test_yaml_that_was_copied_can_be_put_in_again(client: Client) -> None:
    checked = client.send_json("POST", "/api/config/check", {"config": settings("mine", max_steps=7)}).json()
    assert checked["ok"]
    read = client.send_json("POST", "/api/config/read", {"yaml": checked["yaml"]}).json()
    assert read == checked


def test_yaml_that_cannot_be_used_is_told_from_yaml_that_is_none(client: Client) -> None:
    wrong = client.send_json("POST", "/api/config/read", {"yaml": "max_steps: none\nstudent: {model: a/b}\n"}).json()
    assert not wrong["ok"]
    assert "max_steps" in [field["path"] for field in wrong["fields"]]
    texts = (
        "a: [", "- 1\n", "", "!!python/object/apply:os.getcwd []", "? \n: 1", "a: {1: 2}", "a: 2026-11-27",
        "a: 2026-13-27", "a: !!set {b}", "a: !!binary eA==", "a: &a [1]\nb: *a", "a: &a [*a]", "[" * 5_000,
        "a: " + "1" * 5_000,
    )  # fmt: skip
    for text in texts:
        answer = client.send_json("POST", "/api/config/read", {"yaml": text})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "config_invalid"), text[:40]
