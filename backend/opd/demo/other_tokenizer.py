"""The demo's models with another tokenizer, made on demand: numbers are divided into tokens of several digits.

In: a folder of the studio's data. Out: `teacher/` and `student/` as ordinary model folders, made once and kept there
(minutes on one core). With the bundled models, whose digits stand alone, they make the hard cases of two tokenizers:
a teacher whose tokens span several of the student's, and a student whose tokens span several of the teacher's.

Both begin as the bundled model of their kind, with embeddings for the new tokens averaged from the old ones, and are
trained on until they answer as well as it does.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from opd.demo.bundled import student_dir, teacher_dir
from opd.demo.lessons import Lesson, answer_lesson, mixed_lesson
from opd.demo.pretraining import Schedule, Shape, exact_match, new_model, train
from opd.demo.recipe import (
    STUDENT_DIFFERENCE_SHARE,
    STUDENT_EXACT_MATCH,
    STUDENT_SHAPE,
    TEACHER_SHAPE,
    one_thread,
    save_model,
)
from opd.demo.task import questions_of
from opd.demo.tokenizer import build_tokenizer
from opd.store.files import write_json
from opd.training.checkpoint import replace_folder
from opd.training.models import load_tokenizer, load_weights

_RECIPE = "several-digits-1"  # another name when the recipe changes, so that what the old one made is made anew
_NUM_CHECKED = 150
Say = Callable[[str], None]


@dataclass(frozen=True)
class _Kind:
    name: str
    origin: Path
    shape: Shape
    schedule: Schedule
    lessons: Callable[[random.Random], Lesson]
    check_every: int
    exact_match_range: tuple[float, float]
    """Training ends at the first check in this range."""


def other_teacher(root: Path, *, make: bool = True, say: Say = lambda text: None) -> Path:
    """Folder of a teacher like the bundled one, whose tokens hold several digits; made below `root` if not there.

    Args:
        make: False only tells where it would be.
    """
    schedule = Schedule(max_steps=600, batch_size=32, learning_rate=2e-3, warmup_steps=20, final_share=0.05)
    lessons = partial(mixed_lesson, shares=(1.0, 0.0, 0.0))
    return _made(root, _Kind("teacher", teacher_dir(), TEACHER_SHAPE, schedule, lessons, 50, (0.98, 1.0)), make, say)


def other_student(root: Path, *, make: bool = True, say: Say = lambda text: None) -> Path:
    """Folder of a student like the bundled one, whose tokens hold several digits; as `other_teacher`."""
    schedule = Schedule(max_steps=600, batch_size=24, learning_rate=2e-3, warmup_steps=20, final_share=1.0)
    lessons = partial(answer_lesson, difference_share=STUDENT_DIFFERENCE_SHARE)
    kind = _Kind("student", student_dir(), STUDENT_SHAPE, schedule, lessons, 5, STUDENT_EXACT_MATCH)
    return _made(root, kind, make, say)


def _made(below: Path, kind: _Kind, make: bool, say: Say) -> Path:
    root = below / "models" / _RECIPE
    folder, stage = root / kind.name, root / f".{kind.name}"
    if not make:
        return folder
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / f".{kind.name}.lock"):
        if (folder / "facts.json").is_file():
            return folder
        say(f"Making a {kind.name} whose tokens hold several digits (minutes, once; kept in {folder}).")
        shutil.rmtree(stage, ignore_errors=True)
        with one_thread():
            tokenizer = build_tokenizer(split_digits=False)
            model = _begin_as_bundled(kind, tokenizer)
            _train(model, tokenizer, kind, say)
            share = exact_match(model, tokenizer, list(islice(questions_of("held_out"), 2 * _NUM_CHECKED)))
        save_model(model, tokenizer, stage)
        write_json(stage / "facts.json", {"exact_match": share, "num_tokens": len(tokenizer)})
        replace_folder(stage, folder)
        say(f"{kind.name.capitalize()}: {share:.1%} of {2 * _NUM_CHECKED} held-out questions.")
        return folder


def _begin_as_bundled(kind: _Kind, tokenizer: Any) -> Any:
    """The bundled model's layers; a new token starts as the mean of the bundled tokens that spell it."""
    bundled, old = load_weights(kind.origin, torch.float32, torch.device("cpu")), load_tokenizer(kind.origin)
    model = new_model(tokenizer, kind.shape, seed=2)
    rows = bundled.get_input_embeddings().weight.detach()
    names = old.get_vocab()
    state = {name: value for name, value in bundled.state_dict().items() if name.startswith("model.layers.")}
    model.load_state_dict(state, strict=False)
    with torch.no_grad():
        for name, index in tokenizer.get_vocab().items():
            ids = [names[name]] if name in names else old.encode(tokenizer.decode([index]), add_special_tokens=False)
            if ids:
                model.get_input_embeddings().weight[index] = rows[ids].mean(0)
    return model


def _train(model: Any, tokenizer: Any, kind: _Kind, say: Say) -> None:
    checked = list(islice(questions_of("validation"), _NUM_CHECKED))
    low, high = kind.exact_match_range

    def after_step(steps: int, loss: float) -> bool:
        if steps % kind.check_every:
            return False
        share = exact_match(model, tokenizer, checked)
        say(f"{kind.name.capitalize()}: step {steps}, loss {loss:.4f}, exact match {share:.3f}.")
        return low <= share <= high

    train(model, tokenizer, kind.lessons, kind.schedule, seed=2, after_step=after_step)
    model.eval()
