"""The installation check without any ML package: data, cloud API, training loop, costs.

Runs under pytest, and as a script that prints what it does and ends in `ALL TESTS PASSED!`:

    python backend/tests/test_opd_demo.py
"""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":  # so that the script also works before the package is installed
    sys.path.insert(0, str(Path(__file__).parents[1]))

from opd.doctor.installation import (
    TablePolicy,
    check_cloud_api,
    check_cost_estimation,
    check_data_loading,
    check_installation,
    check_training_loop,
    distil,
    random_policy,
    reverse_kl,
    reverse_kl_gradient,
)

ML_PACKAGES = {"torch", "transformers", "trl", "peft", "accelerate", "datasets"}


def test_data_loading_and_cloud_api() -> None:
    lines: list[str] = []
    records = check_data_loading(lines.append)
    assert len(records) == 5
    assert any("line 2, byte" in line for line in lines)
    assert check_cloud_api(records, lines.append) > 0
    assert any("5 answers, invoice $" in line for line in lines)


def test_the_toy_student_really_learns_from_its_own_text() -> None:
    before, after = check_training_loop(lambda _line: None)
    assert before > 0.5
    assert after < 0.05


def test_a_student_that_is_the_teacher_has_nothing_to_learn() -> None:
    teacher = random_policy(random.Random(1), 5, scale=1.0)
    student = TablePolicy([list(row) for row in teacher.logits])
    history = distil(student, teacher, num_steps=5, learning_rate=0.5, rng=random.Random(2))
    assert max(history) < 1e-12
    assert student.logits == teacher.logits


def test_the_toy_gradient_is_the_slope_of_the_divergence() -> None:
    rng = random.Random(3)
    student, teacher = random_policy(rng, 4, scale=1.0), random_policy(rng, 4, scale=1.0)
    gradient = reverse_kl_gradient(student.probabilities(0), teacher.probabilities(0))
    for token in range(4):
        values = []
        for shift in (1e-5, -1e-5):
            moved = TablePolicy([list(row) for row in student.logits])
            moved.logits[0][token] += shift
            values.append(reverse_kl(moved.probabilities(0), teacher.probabilities(0)))
        assert abs((values[0] - values[1]) / 2e-5 - gradient[token]) < 1e-8


def test_cost_estimation() -> None:
    lines: list[str] = []
    check_cost_estimation(lines.append)
    for shown in ("$0.01", "$0.15", "$1.78", "$35.70"):
        assert shown in lines[0]


def test_the_script_passes_without_loading_an_ml_package() -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", __file__], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "ALL TESTS PASSED!"
    for section in ("Data loading", "Cloud API", "Training loop", "Cost estimation"):
        assert section in result.stdout


if __name__ == "__main__":
    check_installation()
    loaded = ML_PACKAGES & set(sys.modules)
    if loaded:
        sys.exit(f"ML packages were loaded: {sorted(loaded)}")
    print("\nALL TESTS PASSED!")
