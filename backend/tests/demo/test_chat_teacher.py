"""The teacher's chat skills: made by the recipe on tiny models, and measured on the adapters that are bundled."""

import json
import random

import pytest
import torch
from safetensors.torch import load_file

from opd.demo.bundled import chat_teacher_dir, student_dir, teacher_dir
from opd.demo.chat_teacher import build_chat_teacher, measure_skills, student_drafts, train_adapters
from opd.demo.lessons import marking_lesson
from opd.demo.pretraining import Schedule, Shape, exact_match, new_model
from opd.demo.recipe import one_thread, save_model
from opd.demo.skills import mark_prompt
from opd.demo.task import questions_of
from opd.demo.tokenizer import build_tokenizer
from opd.serving.adapters import CONFIG, STATE, find_adapter
from opd.serving.loading import load_served
from opd.training.models import load_tokenizer, load_weights

TINY = Shape(hidden_size=32, num_layers=1, intermediate_size=64, num_heads=2, num_kv_heads=1, head_size=16)
SHORT = Schedule(3, 8, 1e-2, 1)


def learned(seed: int) -> dict[str, torch.Tensor]:
    tokenizer = build_tokenizer()
    adapted = train_adapters(new_model(tokenizer, TINY, 0), tokenizer, (), rank=2, schedule=SHORT, seed=seed)
    return {name: weight.detach() for name, weight in adapted.named_parameters()}


def test_the_same_seed_makes_the_same_adapters_and_the_teacher_itself_stays() -> None:
    with one_thread():
        first, again, other = learned(0), learned(0), learned(1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    changed = {name for name in first if not torch.equal(first[name], other[name])}
    assert changed
    assert all("lora_" in name for name in changed)


def test_half_of_the_drafts_to_mark_are_the_students_own() -> None:
    rng = random.Random(0)
    question = next(questions_of("train"))
    own = mark_prompt(question.text, "4+7+0=11")
    lessons = [marking_lesson(rng, [(question, "4+7+0=11")]).message for _ in range(200)]
    assert 70 < lessons.count(own) < 130


def test_what_the_recipe_writes_is_served_and_answers_as_it_learned(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("opd.demo.chat_teacher.SCHEDULE", SHORT)
    tokenizer = build_tokenizer()
    with one_thread():
        for name, seed in (("teacher", 0), ("student", 1)):
            save_model(new_model(tokenizer, TINY, seed), tokenizer, tmp_path / name)
        report = build_chat_teacher(tmp_path, num_drafts=20)
    assert {path.name for path in (tmp_path / "chat_teacher").iterdir()} == {CONFIG, STATE}
    assert report["questions_valid"] == 0  # it has seen 24 lessons
    json.dumps(report)


def test_the_bundled_adapters_are_small_and_belong_to_the_bundled_teacher() -> None:
    folder = chat_teacher_dir()
    assert {path.name for path in folder.iterdir()} == {CONFIG, STATE}
    found = find_adapter(folder)
    assert found is not None
    assert found.base == str(teacher_dir().resolve())
    state = load_file(folder / STATE)
    assert {tensor.dtype for tensor in state.values()} == {torch.bfloat16}


@pytest.mark.timeout(120)
def test_the_bundled_teacher_answers_writes_and_marks_with_them() -> None:
    with one_thread():
        tokenizer = load_tokenizer(student_dir())
        teacher = load_served(chat_teacher_dir(), device="cpu").model
        student = load_weights(student_dir(), torch.float32, torch.device("cpu"))
        drafts = student_drafts(student, tokenizer, "held_out", 100, 7)
        skills = measure_skills(teacher, tokenizer, drafts)
        assert exact_match(teacher, tokenizer, list(questions_of("held_out"))[:200]) >= 0.97
    assert skills.lines_marked >= 0.9
    assert skills.questions_valid >= 0.7
    assert skills.questions_distinct >= 0.6
