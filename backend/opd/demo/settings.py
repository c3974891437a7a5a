"""The bundled distillation as a run configuration: nothing about it is special but the models' size."""

from __future__ import annotations

from opd.config import RunConfig, parse_config
from opd.demo.bundled import data_path, student_dir, teacher_dir

MAX_COMPLETION_TOKENS = 40


def demo_config(*, seed: int = 0) -> RunConfig:
    """119 questions, on-policy reverse KL, every weight learns, with a tuned imitation baseline beside it."""
    return parse_config(
        {
            "name": "Bundled demo: analyst arithmetic",
            "student": {"model": str(student_dir()), "training": "full"},
            "teacher": {"type": "local", "model": str(teacher_dir())},
            "data": {
                "path": str(data_path("train")),
                "test_path": str(data_path("held_out")),
                "validation_path": str(data_path("validation")),
                "answer_match": "last_number",
            },
            "objective": {"type": "divergence", "beta": 1.0},
            "on_policy_fraction": 1.0,
            "max_steps": 200,
            "batch_size": 16,
            "learning_rate": 1e-3,
            "sampling": {"max_completion_tokens": MAX_COMPLETION_TOKENS},
            "baseline": {"enabled": True},
            "num_threads": 1,  # the baseline trains on the other core
            "seed": seed,
        }
    )
