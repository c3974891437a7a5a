"""The probe on pairs that fit and pairs that do not: each misfit under its own code, with a way out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from opd.teachers.probe import probe
from opd.teachers.tokenizer_folder import TokenizerFolder, TokenizerUnusableError
from teachers.pairs import ONE_TOKENIZER, assert_blocks, edit, local, make_folder, row


def test_a_good_pair(models: Path, prompts: Path) -> None:
    report = probe(local(models / "student", models / "teacher", prompts))
    assert report.ok, report.rows
    assert {one.status for one in report.rows} == {"ok"}
    assert report.finding == "token by token, full distribution"
    assert (report.signal, report.same_tokenizer, report.top_k) == ("distribution", True, None)


def test_padded_vocabularies_fit(models: Path, prompts: Path, tmp_path: Path) -> None:
    teacher = make_folder(
        tmp_path / "wide", vocab_size=152_064, hidden_size=8, intermediate_size=8, num_attention_heads=1,
        num_key_value_heads=1, num_hidden_layers=1,
    )  # fmt: skip
    student = make_folder(
        tmp_path / "narrow", vocab_size=151_936, hidden_size=8, intermediate_size=8, num_attention_heads=1,
        num_key_value_heads=1, num_hidden_layers=1,
    )  # fmt: skip
    report = probe(local(student, teacher, prompts))
    assert report.ok
    assert "151,936 and 152,064" in row(report, "vocabulary_padded").detail


def test_two_tokenizers(models: Path, prompts: Path) -> None:
    report = probe(local(models / "student", models / "other", prompts))
    assert report.ok
    assert row(report, "tokenizer_differs").status == "warn"
    assert report.finding == "token by token across tokenizers: 100 % of positions"
    assert report.share_of_positions == 1.0
    assert_blocks(
        probe(local(models / "student", models / "other", prompts, objective=ONE_TOKENIZER)), "tokenizer_differs"
    )


def test_gold_across_tokenizers_is_warned_of(models: Path, prompts: Path) -> None:
    report = probe(local(models / "student", models / "other", prompts, objective={"type": "gold"}))
    assert report.ok
    assert "can destroy the student" in row(report, "gold_across_tokenizers").detail
    same = probe(local(models / "student", models / "student", prompts, objective={"type": "gold"}))
    assert "gold_across_tokenizers" not in {found.code for found in same.rows}


def test_equal_width_and_another_tokenizer(models: Path, prompts: Path, copies: Any) -> None:
    teacher = copies("teacher")
    spec = json.loads((teacher / "tokenizer.json").read_text())
    vocab = spec["model"]["vocab"]
    a, b = [name for name in vocab if len(name) == 1][40:42]
    vocab[a], vocab[b] = vocab[b], vocab[a]
    (teacher / "tokenizer.json").write_text(json.dumps(spec))
    report = probe(local(models / "student", teacher, prompts, objective=ONE_TOKENIZER))
    assert_blocks(report, "tokenizer_differs_same_width")


def test_a_vocabulary_beyond_the_outputs(models: Path, prompts: Path, copies: Any) -> None:
    teacher = copies("teacher")
    edit(teacher / "config.json", vocab_size=100)
    assert_blocks(probe(local(models / "student", teacher, prompts)), "vocabulary_too_small")


def test_a_base_model_that_stops_at_another_token(models: Path, prompts: Path, copies: Any) -> None:
    student = copies("student")
    tokenizer = TokenizerFolder.load(student)
    base_end = tokenizer.vocabulary["<|endoftext|>"]
    edit(student / "generation_config.json", eos_token_id=base_end)
    edit(student / "tokenizer_config.json", eos_token="<|endoftext|>")
    report = probe(local(student, models / "teacher", prompts))
    assert_blocks(report, "eos_mismatch")
    assert str(tokenizer.vocabulary["<|im_end|>"]) in row(report, "eos_mismatch").fix


def test_no_end_token_at_all(models: Path, prompts: Path, copies: Any) -> None:
    student = copies("student")
    for name in ("generation_config.json", "config.json"):
        edit(student / name, eos_token_id=None)
    edit(student / "tokenizer_config.json", eos_token=None)
    assert_blocks(probe(local(student, models / "teacher", prompts)), "eos_missing")


def test_no_chat_template(models: Path, prompts: Path, copies: Any) -> None:
    for broken in ("student", "teacher"):
        folder = copies(broken)
        (folder / "chat_template.jinja").unlink()
        pair = {"student": models / "student", "teacher": models / "teacher", broken: folder}
        assert_blocks(probe(local(pair["student"], pair["teacher"], prompts)), "template_missing")


def test_templates_that_differ_are_shown(models: Path, prompts: Path, copies: Any) -> None:
    teacher = copies("teacher")
    template = (teacher / "chat_template.jinja").read_text()
    (teacher / "chat_template.jinja").write_text(template.replace("assistant\n", "assistant\n<think>\n"))
    report = probe(local(models / "student", teacher, prompts))
    assert row(report, "template_differs").status == "warn"
    assert "teacher" in row(report, "think_tags_differ").detail
    assert report.ok


def test_a_context_that_is_too_short(models: Path, prompts: Path) -> None:
    report = probe(local(models / "student", models / "teacher", prompts, sampling={"max_completion_tokens": 500}))
    assert_blocks(report, "context_short")
    assert "500" in row(report, "context_short").detail


def test_models_that_are_not_here(models: Path, prompts: Path, tmp_path: Path) -> None:
    report = probe(local(models / "student", tmp_path / "nowhere", prompts))
    assert_blocks(report, "model_not_found")
    assert report.signal is None


def test_an_unsafe_folder_is_not_opened(models: Path, prompts: Path, copies: Any) -> None:
    teacher = copies("teacher")
    edit(teacher / "config.json", auto_map={"AutoModelForCausalLM": "evil.Model"})
    assert_blocks(probe(local(models / "student", teacher, prompts)), "model_unsafe")


def test_a_folder_without_a_fast_tokenizer(models: Path, prompts: Path, copies: Any) -> None:
    teacher = copies("teacher")
    (teacher / "tokenizer.json").unlink()
    assert_blocks(probe(local(models / "student", teacher, prompts)), "tokenizer_unusable")
    (teacher / "tokenizer.json").write_text("{}")
    with pytest.raises(TokenizerUnusableError, match="cannot be read"):
        TokenizerFolder.load(teacher)
