"""The recipe of the bundled models: `opd demo build-models OUT`.

In: a folder and a seed. Out: `teacher/` and `student/` as ordinary Hugging Face model folders (safetensors, no
optimizer state) that share one tokenizer, `chat_teacher/` with what the teacher learns beside answering
(`chat_teacher.py`), the demo's `data/`, and a report of what was measured. One CPU core, minutes.

The student is the same kind of model, smaller, whose training on random questions was stopped early: it writes the
form perfectly and makes mistakes with digits, more with sums than with differences. Distillation can repair that.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from opd.demo.bundled import DATA_FILES
from opd.demo.chat_teacher import build_chat_teacher
from opd.demo.lessons import answer_lesson, teacher_lesson
from opd.demo.pretraining import Schedule, Shape, exact_match, new_model, train
from opd.demo.task import PromptRow, held_out_prompts, questions_of, train_prompts, validation_prompts
from opd.demo.tokenizer import build_tokenizer

Progress = Callable[[str], None]

TEACHER_SHAPE = Shape(hidden_size=160, num_layers=4, intermediate_size=448, num_heads=5, num_kv_heads=1)
TEACHER_SCHEDULE = Schedule(max_steps=1000, batch_size=64, learning_rate=2e-3, final_share=0.05)

STUDENT_SHAPE = Shape(hidden_size=128, num_layers=3, intermediate_size=384, num_heads=4, num_kv_heads=2)
# The rate stays high to the end: a student with large weights learns on at a high rate without falling apart.
STUDENT_SCHEDULE = Schedule(max_steps=2000, batch_size=24, learning_rate=4e-3, final_share=1.0)
STUDENT_DIFFERENCE_SHARE = 0.25
# Training stops at the first check whose exact match on validation questions is in this range.
STUDENT_EXACT_MATCH = (0.27, 0.34)
_CHECK_EVERY, _NUM_CHECKED = 5, 250


def build_models(out_dir: Path, *, seed: int = 0, progress: Progress = lambda text: None) -> dict[str, Any]:
    """Make tokenizer, teacher, student and data files from nothing.

    Args:
        out_dir: folder to write `teacher/`, `student/` and `data/` into; created if absent.
        seed: of data and weights.
        progress: called with a sentence now and then.

    Returns:
        The measured figures, ready for JSON.
    """
    begun = time.monotonic()
    with one_thread():
        tokenizer = build_tokenizer()
        progress(f"Tokenizer: {len(tokenizer)} tokens.")
        teacher = train_teacher(tokenizer, seed=seed, progress=progress)
        student = train_student(tokenizer, seed=seed, progress=progress)
        held_out = list(questions_of("held_out"))
        report: dict[str, Any] = {"seed": seed, "vocabulary_size": len(tokenizer), "num_held_out": len(held_out)}
        for name, model in (("teacher", teacher), ("student", student)):
            save_model(model, tokenizer, out_dir / name)
            report[name] = {
                "num_parameters": model.num_parameters(),
                "safetensors_bytes": (out_dir / name / "model.safetensors").stat().st_size,
                "exact_match": round(exact_match(model, tokenizer, held_out), 4),
            }
            progress(f"{name.capitalize()}: {report[name]['exact_match']:.1%} of {len(held_out)} held-out questions.")
        report["chat_teacher"] = build_chat_teacher(out_dir, seed=seed, progress=progress)
    write_data(out_dir / "data")
    report["seconds"] = round(time.monotonic() - begun, 1)
    return report


def train_teacher(
    tokenizer: Any,
    *,
    shape: Shape = TEACHER_SHAPE,
    schedule: Schedule = TEACHER_SCHEDULE,
    seed: int = 0,
    progress: Progress = lambda text: None,
) -> Any:
    """A model that answers, and knows how to go on after a wrong line."""

    def after_step(steps: int, loss: float) -> bool:
        if steps % 50 == 0:
            progress(f"Teacher: step {steps} of {schedule.max_steps}, loss {loss:.4f}.")
        return False

    model = new_model(tokenizer, shape, seed)
    train(model, tokenizer, teacher_lesson, schedule, seed=seed, after_step=after_step)
    return model.eval()


def train_student(
    tokenizer: Any,
    *,
    shape: Shape = STUDENT_SHAPE,
    schedule: Schedule = STUDENT_SCHEDULE,
    exact_match_range: tuple[float, float] = STUDENT_EXACT_MATCH,
    first_check: int = 100,
    seed: int = 0,
    progress: Progress = lambda text: None,
) -> Any:
    """A model that only answers, stopped when its exact match on validation questions is in this range.

    Args:
        first_check: step before which it cannot know the form, so that asking is no use.
    """
    checked = list(islice(questions_of("validation"), _NUM_CHECKED))
    low, high = exact_match_range

    def after_step(steps: int, loss: float) -> bool:
        if steps % _CHECK_EVERY or steps < first_check:
            return False
        share = exact_match(model, tokenizer, checked)
        progress(f"Student: step {steps}, loss {loss:.4f}, exact match {share:.3f} on validation questions.")
        return low <= share <= high

    model = new_model(tokenizer, shape, seed + 1)
    lessons = partial(answer_lesson, difference_share=STUDENT_DIFFERENCE_SHARE)
    train(model, tokenizer, lessons, schedule, seed=seed + 1, after_step=after_step)
    return model.eval()


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write model and tokenizer as a folder that `AutoModelForCausalLM.from_pretrained` reads."""
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_data(folder: Path) -> None:
    """Write the demo's data files; the same bytes every time."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[PromptRow]] = {
        "train": train_prompts(),
        "validation": validation_prompts(),
        "held_out": held_out_prompts(),
    }
    for name in DATA_FILES:
        lines = [json.dumps(row, separators=(",", ":")) + "\n" for row in rows[name]]
        (folder / f"{name}.jsonl").write_bytes("".join(lines).encode())


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums come out the same only in the same order: one thread while this lasts."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
