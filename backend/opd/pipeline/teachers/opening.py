"""From a configuration to the teacher at work: the one place that knows all kinds."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from opd.config import LocalTeacher, RunConfig
from opd.errors import ConfigError
from opd.model_files import Progress
from opd.pipeline.teachers.base import RunTeacher
from opd.pipeline.teachers.local import LocalRunTeacher
from opd.training.models import Student, load_teacher


def open_teacher(
    config: RunConfig,
    student: Student,
    device: torch.device,
    *,
    keys: Mapping[str, str],
    progress: Progress | None = None,
) -> RunTeacher:
    """The configured teacher, ready to be asked.

    Args:
        keys: provider → API key; a value goes to its provider and nowhere else.

    Raises:
        ModelNotFoundError, UnsafeModelError, ModelMismatchError: a local teacher that cannot be used.
        ConfigError: a kind that a run cannot use yet.
    """
    match config.teacher:
        case LocalTeacher():
            model = load_teacher(config, student, device, progress=progress)
            return LocalRunTeacher(model, student, config)
        case other:
            raise ConfigError(
                f"A {other.type} teacher cannot train a student yet.", hint="Choose a model on this machine."
            )
