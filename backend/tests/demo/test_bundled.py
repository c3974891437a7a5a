"""The bundled models: what is in the folders, and what the models can do, measured."""

import json
from itertools import islice

import pytest

from opd.demo.bundled import student_dir, teacher_dir
from opd.demo.pretraining import complete, exact_match
from opd.demo.recipe import STUDENT_EXACT_MATCH, one_thread
from opd.demo.task import NUM_LINES, questions_of, read_line
from opd.model_files import check_model_folder

MAX_TOGETHER_BYTES = 8_000_000


def load(folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()
    return model, AutoTokenizer.from_pretrained(folder, local_files_only=True)


def test_are_plain_safetensors_folders_with_one_tokenizer() -> None:
    allowed = {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    }
    for folder in (teacher_dir(), student_dir()):
        assert {path.name for path in folder.iterdir()} == allowed
        config = json.loads((folder / "config.json").read_text())
        assert config["model_type"] == "qwen3"
        assert config["max_position_embeddings"] >= 256
        generation = json.loads((folder / "generation_config.json").read_text())
        assert generation["eos_token_id"] != generation["pad_token_id"]
    assert (teacher_dir() / "tokenizer.json").read_bytes() == (student_dir() / "tokenizer.json").read_bytes()
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (teacher_dir(), student_dir())]
    assert sum(sizes) <= MAX_TOGETHER_BYTES


def test_the_teacher_masters_the_task() -> None:
    with one_thread():
        model, tokenizer = load(teacher_dir())
        assert exact_match(model, tokenizer, list(questions_of("held_out"))) >= 0.97


def test_the_student_knows_the_form_and_not_the_digits() -> None:
    with one_thread():
        model, tokenizer = load(student_dir())
        held_out = list(questions_of("held_out"))
        low, high = STUDENT_EXACT_MATCH
        assert low - 0.03 <= exact_match(model, tokenizer, held_out) <= high + 0.03
        answers = complete(model, tokenizer, [question.text for question in islice(held_out, 200)], max_new_tokens=40)
    well_formed = [
        len(lines) == NUM_LINES and all(read_line(line) for line in lines[:2]) and lines[2].startswith("=")
        for lines in (answer.split("\n") for answer in answers)
    ]
    assert sum(well_formed) / len(well_formed) >= 0.97


@pytest.mark.parametrize("folder", [teacher_dir(), student_dir()])
def test_pass_the_gate_for_model_folders(folder) -> None:
    check_model_folder(folder)  # raises where it refuses
