"""A student, a teacher and another one, prompts, and what is closed after a test."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from teachers.pairs import ONE, make_folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    make_folder(root / "student", seed=1)
    make_folder(root / "teacher", seed=2)
    make_folder(root / "other", ONE, seed=3)
    return root


@pytest.fixture
def copies(models: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy that a test may break."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(models / name, tmp_path / name))

    return copy


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    lines = [{"messages": [{"role": "user", "content": f"What is {n} + {n}?" * (1 + n % 4)}]} for n in range(12)]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack
