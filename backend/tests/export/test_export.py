"""Every form of export from real runs of tiny models: read back, compared, and refused where it cannot be faithful."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from opd.demo.bundled import student_dir
from opd.errors import CheckpointDamagedError, InputError, NotFoundError, VerificationError
from opd.export.checks import compare_logits, probe_ids
from opd.export.gguf_text import TEXTS, built, first_difference, read_words
from opd.export.source import open_source
from opd.export.templates import find_template, modelfile, render
from opd.export.work import export_run
from opd.store.runs import RunFolder
from opd.training.models import load_tokenizer, load_weights
from tokenizers_in_tests import byte_level, model_for, sentence_pieces
from trained_run import a_run, dividing_by

ONE = dividing_by("qwen2", byte_level("one_digit"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return a_run(tmp_path_factory.mktemp("whole"), model_for(ONE, head_dim=16), ONE)


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return a_run(tmp_path_factory.mktemp("adapters"), model_for(ONE), ONE, training="lora")


def test_merged_is_the_runs_model(whole: RunFolder, tmp_path: Path) -> None:
    report = export_run(whole, "merged", tmp_path / "out")
    assert [check.what for check in report.checks] == [
        "tensors",
        "tokenizer and chat template",
        "behaves like the run's model",
    ]
    one, other = (load_file(folder / "model.safetensors") for folder in (whole.student_path, tmp_path / "out"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert {file.name for file in report.files} == {path.name for path in (tmp_path / "out").iterdir()}


def test_a_checkpoint_can_be_exported(whole: RunFolder, adapters: RunFolder, tmp_path: Path) -> None:
    for number, run in enumerate((whole, adapters)):
        export_run(run, "merged", tmp_path / f"{number}", step=2)
        one, other = (load_file(f / "model.safetensors") for f in (run.student_path, tmp_path / f"{number}"))
        assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)
    with pytest.raises(NotFoundError, match="step 3"):
        export_run(whole, "merged", tmp_path / "none", step=3)


def test_adapters_alone(adapters: RunFolder, whole: RunFolder, tmp_path: Path) -> None:
    report = export_run(adapters, "lora", tmp_path / "out")
    settings = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == adapters.config().student.model
    assert settings["r"] == 4
    assert sum(file.num_bytes for file in report.files if file.name.startswith("adapter_model")) < 200_000
    with pytest.raises(InputError, match="trained all weights"):
        export_run(whole, "lora", tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("precision", ["f32", "f16", "bf16"])
def test_gguf_is_read_by_another_program_as_the_same_model(whole: RunFolder, tmp_path: Path, precision: str) -> None:
    report = export_run(whole, "gguf", tmp_path / "out", precision=precision)
    behaves = ["behaves like the run's model", *([] if precision == "f32" else [f"what {precision} costs"])]
    assert [check.what for check in report.checks] == ["tensors", "tokenizer", *behaves]
    assert {file.name for file in report.files} == {"model.gguf", "opd-export.json"}


@pytest.mark.parametrize(("kind", "rules"), [("llama", "llama-bpe"), ("qwen2", "qwen2")])
def test_gguf_of_the_other_families(kind: str, rules: str, tmp_path: Path) -> None:
    """Llama's query and key rows are stored in another order; the other reader puts them back."""
    tokenizer = dividing_by(rules, byte_level("three_digits"))
    run = a_run(tmp_path, model_for(tokenizer, kind=kind), tokenizer)
    assert rules in export_run(run, "gguf", tmp_path / "out", precision="f32").checks[1].found


def test_the_bundled_student_fits_into_ollama(tmp_path: Path) -> None:
    base = student_dir()
    model, tokenizer = load_weights(base, "auto", torch.device("cpu")), load_tokenizer(base)
    report = export_run(a_run(tmp_path, model, tokenizer), "ollama", tmp_path / "out")
    text = (tmp_path / "out" / "Modelfile").read_text()
    assert text.startswith("FROM ./model.gguf\nTEMPLATE")
    assert 'PARAMETER stop "<|im_end|>"' in text
    assert report.checks[1].found.endswith("smollm")
    assert report.checks[-1].found.startswith("ChatML")


def test_what_llama_cpp_would_divide_differently_is_refused(tmp_path: Path) -> None:
    for tokenizer, said in ((byte_level("words"), "built-in rules"), (sentence_pieces(), "expected byte-level BPE")):
        with pytest.raises(InputError, match=said):
            read_words(tokenizer, len(tokenizer))
    words = read_words(ONE, len(ONE) + 3)
    assert words.tokens[-1] == f"[PAD{len(ONE) + 2}]"
    assert first_difference(ONE, built(words), TEXTS) is None
    three = dividing_by("llama-bpe", byte_level("three_digits", 900))
    misnamed = dataclasses.replace(read_words(three, len(three)), pre="qwen2")
    assert first_difference(three, built(misnamed), TEXTS) is not None, "a wrong name would be noticed"


def test_other_architectures_and_stretched_positions_are_refused(tmp_path: Path) -> None:
    run = a_run(tmp_path / "a", model_for(ONE, kind="mistral"), ONE)
    with pytest.raises(InputError, match="MistralForCausalLM"):
        export_run(run, "gguf", tmp_path / "out")
    stretched = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10_000.0}
    run = a_run(tmp_path / "b", model_for(ONE, rope_parameters=stretched), ONE)
    with pytest.raises(InputError, match="stretches its positions"):
        export_run(run, "gguf", tmp_path / "out")
    assert not (tmp_path / "out").exists(), "a refusal leaves nothing behind"


def test_a_template_is_written_only_where_it_gives_the_same_text() -> None:
    tokenizer = copy.deepcopy(ONE)
    found = find_template(tokenizer)
    assert (found.family, found.system) == ("ChatML", None)
    tokenizer.chat_template = (
        "{% if messages[0].role != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n{% endif %}" + ONE.chat_template
    )
    found = find_template(tokenizer)
    assert found.system == "You help.", "a system message that the model brings along goes into SYSTEM"
    assert 'SYSTEM """You help."""' in modelfile(found, "model.gguf")
    tokenizer.chat_template = ONE.chat_template.replace("{{ m.content }}", "{{ m.content | upper }}")
    with pytest.raises(InputError, match="other text"):
        find_template(tokenizer)
    assert render("{{ range .Messages }}[{{ .Role }}]{{ end }}!", [{"role": "user", "content": "x"}]) == "[user]!"


def test_a_folder_that_holds_something_is_left_alone(whole: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something"):
        export_run(whole, "merged", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_model_that_behaves_differently_is_not_called_an_export(whole: RunFolder) -> None:
    source = open_source(whole)
    other = copy.deepcopy(source.model)
    rows = probe_ids(source.tokenizer)
    compare_logits(source.model, other, rows)
    with torch.no_grad():
        other.model.layers[0].mlp.up_proj.weight.mul_(1.05)
    with pytest.raises(VerificationError, match="does not behave"):
        compare_logits(source.model, other, rows)


def test_a_damaged_model_is_not_exported(tmp_path: Path) -> None:
    run = a_run(tmp_path, model_for(ONE), ONE)
    path = run.checkpoints_path / "step-000002" / "model.safetensors"
    tensors = load_file(path)
    tensors["model.norm.weight"] = tensors["model.norm.weight"] + 1
    save_file(tensors, path)
    with pytest.raises(CheckpointDamagedError):
        export_run(run, "merged", tmp_path / "out", step=2)
