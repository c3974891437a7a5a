"""A studio with one finished run whose tiny models are real."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.studio_process import StudioProcess
from tokenizers_in_tests import byte_level, model_for
from trained_run import a_run, dividing_by


@contextmanager
def studio_with_a_finished_run(folder: Path) -> Iterator[StudioProcess]:
    """The studio of a data folder that holds that run and nothing else."""
    tokenizer = dividing_by("qwen2", byte_level("one_digit"))
    a_run(folder, model_for(tokenizer), tokenizer).end("done", step=4)
    with StudioProcess(folder) as process:
        yield process
