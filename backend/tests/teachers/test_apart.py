"""The probe in a process of its own, and what a pre-flight makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fake_servers import MODEL, Brain, fake_server
from loopback import dead_port, serving
from opd.config import parse_config
from opd.demo.settings import demo_config
from opd.errors import InputError, RunFailedError
from opd.keys import Keys
from opd.preflight import preflight
from opd.processes import child_environment
from opd.store.runs import RunStore
from opd.teachers.apart import probe_apart
from tokenizers_in_tests import byte_level, model_for

warm = pytest.mark.usefixtures("warm_interpreters")


def test_the_bundled_pair(tmp_path: Path) -> None:
    report = probe_apart(demo_config(), key=None, environment=child_environment())
    assert report.ok
    assert report.finding == "token by token, full distribution"
    items = {item.id: item for item in preflight(demo_config(), store=RunStore(tmp_path))}
    assert items["pair"].status == "ok"
    assert report.finding in items["pair"].detail


def test_a_process_that_gives_no_answer_is_an_error_with_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {**child_environment(), "PYTHONPATH": "/nowhere"}
    environment["PYTHONHOME"] = "/nowhere"
    with pytest.raises(RunFailedError, match="ended without an answer"):
        probe_apart(demo_config(), key=None, environment=environment)


def served(url: str, **changes: object) -> dict[str, object]:
    return {"type": "server", "base_url": f"{url}/v1", "model": MODEL, "timeout_s": 5, **changes}


@warm
def test_each_thing_that_is_wrong_blocks_with_its_own_item(tmp_path: Path) -> None:
    demo = demo_config().model_dump(mode="json", exclude={"objective"})
    dead = parse_config({**demo, "teacher": served(f"http://127.0.0.1:{dead_port()}")})
    items = preflight(dead, store=RunStore(tmp_path))
    (away,) = [item for item in items if item.status == "fail"]
    assert (away.code, away.id) == ("teacher_unreachable", "server")
    assert "refuses connections" in away.detail
    assert away.fix


@warm
def test_a_key_goes_to_the_server_and_into_no_item(tmp_path: Path) -> None:
    tokenizer = byte_level("three_digits", 500, 1)
    model_for(tokenizer, seed=1).save_pretrained(tmp_path / "student")
    tokenizer.save_pretrained(tmp_path / "student")
    (tmp_path / "prompts.jsonl").write_text('{"messages": [{"role": "user", "content": "What is 2 + 2?"}]}\n')
    brain = Brain(model_for(tokenizer, seed=2), tokenizer, key="key-of-the-local-server")
    with serving(fake_server("vllm", brain)) as url:
        config = parse_config(
            {
                "student": {"model": str(tmp_path / "student")},
                "teacher": served(url),
                "data": {"path": str(tmp_path / "prompts.jsonl")},
                "sampling": {"max_completion_tokens": 64},
            }
        )
        store = RunStore(tmp_path / "data")
        refused = {item.code for item in preflight(config, store=store)}
        assert "teacher_key_refused" in refused
        Keys(store.root).put("local", "key-of-the-local-server")
        items = preflight(config, store=store)
    assert "key-of-the-local-server" not in str(items)
    (pair,) = [item for item in items if item.id == "pair"]
    assert (pair.status, pair.detail) == ("ok", "It grades the student token by token, top-20.")


@warm
def test_an_address_that_is_none_is_refused_in_words_and_not_called_a_failure() -> None:
    teacher = {"type": "server", "model": "x", "base_url": "http://127.0.0.1:1/v1?key=1"}
    config = parse_config({"student": {"model": "no/such"}, "teacher": teacher, "data": {"path": "p.jsonl"}})
    with pytest.raises(InputError, match="address"):
        probe_apart(config, key=None, environment=child_environment())
