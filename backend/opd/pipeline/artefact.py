"""The model that a run leaves behind: the trained student, and beside it what the verdict recommends instead."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from opd.evaluation.recommendation import learned_of
from opd.events import VerdictReached
from opd.pipeline.workbench import Workbench
from opd.training import checkpoint


def keep_student(bench: Workbench) -> Any:
    """Write the trained model as a folder that any tool can load; gives the model, adapters merged."""
    return _keep(bench, bench.student.model, bench.folder.student_path)


def keep_recommended(bench: Workbench, verdict: VerdictReached) -> None:
    """Write what the verdict recommends where it is not the trained student; export and serve take it from there.

    Where it recommends the student as it was, what was trained is still what the run leaves: nobody exports a run to
    get what they had.
    """
    learned, target = learned_of(bench.folder, verdict), bench.folder.recommended_path
    if learned is None:
        shutil.rmtree(target, ignore_errors=True)
        return
    student = bench.fresh_student()
    checkpoint.load_learned(student.model, learned)
    _keep(bench, student.model, target)


def _keep(bench: Workbench, model: Any, target: Path) -> Any:
    if hasattr(model, "peft_config"):
        model = model.merge_and_unload()
    stage = target.with_name(f".{target.name}")
    model.save_pretrained(stage)
    bench.student.tokenizer.save_pretrained(stage)
    checkpoint.replace_folder(stage, target)
    return model
