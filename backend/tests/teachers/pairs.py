"""Folders and configurations of pairs to probe, and what a report has to say of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from opd.config import RunConfig
from opd.teachers.probe import ProbeReport
from tokenizers_in_tests import byte_level, model_for

ONE = ("one_digit", 420, 0)
THREE = ("three_digits", 900, 1)
ONE_TOKENIZER = {"type": "policy_gradient"}


def make_folder(path: Path, kind: tuple[Any, ...] = THREE, seed: int = 0, **changes: Any) -> Path:
    tokenizer = byte_level(*kind)
    model = model_for(tokenizer, seed=seed, **changes)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def edit(path: Path, **changes: Any) -> None:
    found = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**found, **changes}))


def run_config(student: Path, teacher: dict[str, Any], prompts: Path, **changes: Any) -> RunConfig:
    data = {
        "student": {"model": str(student)},
        "teacher": teacher,
        "data": {"path": str(prompts)},
        "sampling": {"max_completion_tokens": 64},
        **changes,
    }
    # What is tested here is the probe, not which objectives a configuration may name for a teacher.
    kind = {"local": "local", "server": "server", "chat": "chat"}[teacher["type"]]
    if kind == "local":
        return RunConfig.model_validate(data)
    local = RunConfig.model_validate({**data, "teacher": {"type": "local", "model": str(student)}})
    from pydantic import TypeAdapter

    from opd.config import Teacher

    return local.model_copy(update={"teacher": TypeAdapter(Teacher).validate_python(teacher)})


def local(student: Path, teacher: Path, prompts: Path, **changes: Any) -> RunConfig:
    return run_config(student, {"type": "local", "model": str(teacher)}, prompts, **changes)


def row(report: ProbeReport, code: str) -> Any:
    found = [one for one in report.rows if one.code == code]
    assert found, [(one.id, one.status, one.code, one.detail) for one in report.rows]
    return found[0]


def assert_blocks(report: ProbeReport, code: str) -> None:
    found = row(report, code)
    assert found.status == "fail"
    assert found.detail
    assert found.fix
    assert not report.ok
    assert report.finding == ""
