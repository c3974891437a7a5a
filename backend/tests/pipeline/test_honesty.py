"""Whole runs that must not be called better: a teacher with nothing to teach, and one that teaches nonsense.

That a run which does help is called better is the demo's story (`e2e/test_demo_story.py`), twenty times over in
`evaluation/healthy_traces.json`; that an untrained student is no change, `evaluation/test_measure.py`.
"""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from opd.config import parse_config
from opd.demo.bundled import student_dir
from opd.demo.task import held_out_prompts, train_prompts
from opd.events import VerdictReached
from opd.pipeline.run import run_folder
from opd.store.runs import RunStore
from opd.training.models import load_tokenizer, load_weights
from tiny import save_model


def verdict_of(root: Path, **settings: Any) -> VerdictReached:
    changes = {"device": "cpu", "num_threads": 1, **settings}
    run = RunStore(root).create(parse_config(changes))
    assert run_folder(run) == 0, run.failure()
    found = run.summary().verdict
    assert found is not None
    return found


def written(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    save_model(folder / "student", seed=0)
    rows = [
        {"messages": [{"role": "user", "content": f"{a}+{a}?"}, {"role": "assistant", "content": str(a % 10)}]}
        for a in range(24)
    ]
    written(folder / "prompts.jsonl", rows)
    return folder


def test_a_teacher_that_is_the_student_is_no_change_in_20_seeds(tiny: Path, tmp_path: Path) -> None:
    model = str(tiny / "student")
    gc.freeze()  # accelerate collects garbage at the start of every training, and all of torch is no garbage
    conclusions = [
        verdict_of(
            tmp_path / str(seed),
            student={"model": model, "training": "full"},
            teacher={"type": "local", "model": model},
            data={"path": str(tiny / "prompts.jsonl"), "test_fraction": 0.7, "answer_match": "last_number"},
            sampling={"max_completion_tokens": 4},
            evaluation={"probe_prompts": 0, "regression": False},
            max_steps=2,
            batch_size=4,
            learning_rate=1e-2,
            seed=seed,
        ).conclusion
        for seed in range(20)
    ]
    gc.unfreeze()
    assert conclusions.count("no_significant_change") >= 19


def test_a_sabotaged_student_is_worse_and_what_was_there_is_recommended(tmp_path: Path) -> None:
    """The bundled student, three large steps towards a teacher whose weights are noise."""
    teacher = load_weights(student_dir(), torch.float32, torch.device("cpu"))
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    teacher.save_pretrained(tmp_path / "teacher")
    load_tokenizer(student_dir()).save_pretrained(tmp_path / "teacher")
    found = verdict_of(
        tmp_path / "data",
        student={"model": str(student_dir()), "training": "full"},
        teacher={"type": "local", "model": str(tmp_path / "teacher")},
        data={
            "path": written(tmp_path / "train.jsonl", list(train_prompts(16))),
            "test_path": written(tmp_path / "test.jsonl", list(held_out_prompts(80))),
            "answer_match": "last_number",
        },
        sampling={"max_completion_tokens": 40},
        evaluation={"probe_prompts": 0},
        max_steps=3,
        batch_size=8,
        learning_rate=1e-1,
    )
    assert found.conclusion == "worse"
    assert found.recommended == "before"
