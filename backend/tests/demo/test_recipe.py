"""The recipe on tiny models: it learns, repeats itself bit by bit, and stops where it should."""

import random

import torch

from opd.demo.lessons import answer_lesson
from opd.demo.pretraining import Schedule, Shape, complete, new_model, train
from opd.demo.recipe import one_thread, save_model, train_student, train_teacher
from opd.demo.tokenizer import build_tokenizer

TINY = Shape(hidden_size=32, num_layers=1, intermediate_size=64, num_heads=2, num_kv_heads=1, head_size=16)


def test_the_same_seed_makes_the_same_weights_and_another_seed_others() -> None:
    tokenizer = build_tokenizer()
    with one_thread():
        first, again, other = (
            train_teacher(tokenizer, shape=TINY, schedule=Schedule(3, 8, 3e-3, 2), seed=seed).state_dict()
            for seed in (0, 0, 1)
        )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_training_lowers_the_loss() -> None:
    tokenizer, losses = build_tokenizer(), list[float]()

    def keep(steps: int, loss: float) -> bool:
        losses.append(loss)
        return False

    with one_thread():
        train(
            new_model(tokenizer, TINY, 0), tokenizer, answer_lesson, Schedule(40, 16, 1e-2, 5), seed=0, after_step=keep
        )
    assert losses[-1] < losses[0] / 2


def test_the_student_stops_at_the_first_check_in_range() -> None:
    said = list[str]()
    with one_thread():
        train_student(
            build_tokenizer(),
            shape=TINY,
            schedule=Schedule(60, 16, 1e-2, 5, final_share=1.0),
            first_check=20,
            exact_match_range=(0.0, 1.0),
            progress=said.append,
        )
    (only,) = said
    assert "step 20," in only


def test_a_saved_model_loads_and_says_the_same(tmp_path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = build_tokenizer()
    model = new_model(tokenizer, TINY, 0).eval()
    save_model(model, tokenizer, tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, local_files_only=True).eval()
    again = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    messages = ["Cloud 34, Ads 57. Total?", "Cash 97, paid 34. Left?"]
    assert complete(model, tokenizer, messages, max_new_tokens=8) == complete(loaded, again, messages, max_new_tokens=8)


def test_lessons_of_a_seed_are_the_same() -> None:
    assert answer_lesson(random.Random("x")) == answer_lesson(random.Random("x"))
