"""A run's lines in the terminal."""

from __future__ import annotations

import pytest

from opd.events import PhaseStarted, RunEvent, StageFinished, StepLogged
from opd.terminal import describe

DONE = "Trained on 1,240 sentences that the teacher corrected in the student's own drafts."


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (StageFinished(stage="marking", words=DONE, numbers={}), f"  {DONE}"),
        # The same line stands for teachers that grade every token and for those that only answer.
        (PhaseStarted(phase="distilling", total=200, unit="steps"), "• Distilling: the student learns (200 steps)"),
        (StepLogged(step=1, metrics={"loss": 0.5}), "  step     1  loss 0.500"),
        (StepLogged(step=2, metrics={"loss": 0.5}), ""),
    ],
)
def test_one_line_for_what_a_person_wants_to_read(event: RunEvent, line: str) -> None:
    assert describe(event) == line
