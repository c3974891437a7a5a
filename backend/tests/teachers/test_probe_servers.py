"""The probe on served teachers: what they give, and every way in which they cannot be believed."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fake_servers import MODEL, Brain, fake_server
from loopback import dead_port, serving
from opd.config import RunConfig
from opd.teachers.probe import probe
from teachers.pairs import ONE, THREE, assert_blocks, edit, local, row, run_config
from tokenizers_in_tests import byte_level, model_for


def brain_of(kind: tuple[Any, ...] = THREE, **changes: Any) -> Brain:
    tokenizer = byte_level(*kind)
    return Brain(model_for(tokenizer, seed=3), tokenizer, **changes)


def server(
    stack: ExitStack, student: Path, prompts: Path, brain: Brain, dialect: str = "vllm", **changes: Any
) -> RunConfig:
    address = stack.enter_context(serving(fake_server(dialect, brain)))
    teacher = {"type": "server", "base_url": address + "/v1", "model": MODEL, "dialect": dialect, **changes}
    return run_config(student, teacher, prompts)


@pytest.mark.parametrize(("dialect", "k"), [("vllm", 20), ("sglang", 20), ("fireworks", 5), ("together", 20)])
def test_a_good_server(stack: ExitStack, models: Path, prompts: Path, dialect: str, k: int) -> None:
    report = probe(server(stack, models / "student", prompts, brain_of(), dialect))
    assert report.ok, report.rows
    assert report.finding == f"token by token, top-{k}"
    assert (report.signal, report.top_k) == ("topk_logprobs", k)
    assert row(report, "server_scores").status == "ok"
    proof = "tokenizer_unproven" if dialect == "sglang" else "server_tokenizer_same"
    assert row(report, proof)


def test_a_server_that_lists_fewer(stack: ExitStack, models: Path, prompts: Path) -> None:
    report = probe(server(stack, models / "student", prompts, brain_of(fault="caps_k")))
    assert report.ok
    assert row(report, "server_lists_fewer").status == "warn"
    assert report.finding == "token by token, top-3"


def test_a_server_with_another_tokenizer(stack: ExitStack, models: Path, prompts: Path) -> None:
    brain = brain_of(ONE)
    tokens = len(brain.tokenizer)
    hidden = server(stack, models / "student", prompts, replace(brain, model=model_for(byte_level(*THREE), seed=3)))
    report = probe(hidden)  # the ids are all known to it, they only mean something else
    assert tokens < 900
    assert_blocks(report, "server_tokenizer_differs")
    told = server(stack, models / "student", prompts, brain, tokenizer=str(models / "other"))
    report = probe(told)
    assert report.ok, report.rows
    assert report.share_of_positions is not None
    assert 0.5 < report.share_of_positions <= 1
    assert report.finding == f"token by token across tokenizers: {int(100 * report.share_of_positions)} % of positions"


def only_tokenizer(model: Path, target: Path) -> Path:
    """What has to be fetched of a model that is elsewhere."""
    target.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(model / name, target / name)
    return target


@pytest.mark.parametrize("named", ["folder", "file"])
def test_of_a_served_teacher_the_tokenizer_is_enough(
    stack: ExitStack, models: Path, prompts: Path, tmp_path: Path, named: str
) -> None:
    folder = only_tokenizer(models / "other", tmp_path / "tokenizer")
    name = folder if named == "folder" else folder / "tokenizer.json"
    report = probe(server(stack, models / "student", prompts, brain_of(ONE), tokenizer=str(name)))
    assert report.ok, report.rows
    assert report.finding.startswith("token by token across tokenizers: ")
    whole = probe(server(stack, models / "student", prompts, brain_of(ONE), tokenizer=str(models / "other")))
    assert report.finding == whole.finding


def test_a_tokenizer_alone_is_no_local_teacher(models: Path, prompts: Path, tmp_path: Path) -> None:
    folder = only_tokenizer(models / "other", tmp_path / "tokenizer")
    assert_blocks(probe(local(models / "student", folder, prompts)), "model_not_found")


def test_a_tokenizer_without_its_template_says_what_is_missing(
    stack: ExitStack, models: Path, prompts: Path, tmp_path: Path
) -> None:
    folder = only_tokenizer(models / "other", tmp_path / "tokenizer")
    (folder / "chat_template.jinja").unlink()
    report = probe(server(stack, models / "student", prompts, brain_of(ONE), tokenizer=str(folder)))
    assert_blocks(report, "template_missing")
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": "evil.Tokenizer"})
    assert_blocks(
        probe(server(stack, models / "student", prompts, brain_of(ONE), tokenizer=str(folder))), "model_unsafe"
    )


FAULTS = {
    "retokenises": "teacher_retokenised",
    "truncates": "teacher_truncated",
    "other_ids": "teacher_other_ids",
    "shifted_late": "teacher_shifted",
    "all_shifted_early": "teacher_shifted",
    "other_model": "teacher_other_model",
    "no_scores": "teacher_gives_no_scores",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_server_is_no_teacher(stack: ExitStack, models: Path, prompts: Path, fault: Any) -> None:
    report = probe(server(stack, models / "student", prompts, brain_of(fault=fault)))
    found = row(report, FAULTS[fault])
    assert found.status == "fail"
    assert found.fix
    assert not report.ok
    assert not report.finding.startswith("token by token")


def test_nobody_at_the_address(models: Path, prompts: Path) -> None:
    teacher = {"type": "server", "base_url": f"http://127.0.0.1:{dead_port()}/v1", "model": MODEL}
    assert_blocks(probe(run_config(models / "student", teacher, prompts)), "teacher_unreachable")


def test_a_wrong_key_is_named_and_not_repeated(stack: ExitStack, models: Path, prompts: Path) -> None:
    config = server(stack, models / "student", prompts, brain_of(key="sk-right-0123456789"))
    report = probe(config, key="sk-wrong-0123456789")
    assert_blocks(report, "teacher_key_refused")
    assert "sk-wrong" not in report.model_dump_json()
    assert probe(config, key="sk-right-0123456789").ok


def test_a_server_with_a_short_context(stack: ExitStack, models: Path, prompts: Path) -> None:
    report = probe(server(stack, models / "student", prompts, brain_of(context_length=70)))
    assert_blocks(report, "context_short")
    assert "start the teacher with a longer context" in row(report, "context_short").fix


def test_a_chat_api_gives_answers_only(models: Path, prompts: Path) -> None:
    report = probe(run_config(models / "student", {"type": "chat", "model": "openai/gpt-4o-mini"}, prompts))
    assert (report.finding, report.signal, report.ok) == ("answers only: not token-level", "text", True)
