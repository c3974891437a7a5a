"""Phases of a step, on a clock that the test winds."""

from __future__ import annotations

import pytest
import torch

from opd.training import timing


def test_a_phase_inside_another_is_not_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    clock = timing.PhaseClock(torch.device("cpu"))
    now[0] += 1
    with clock("loss"):
        now[0] += 2
        with clock("teacher"):
            now[0] += 4
            assert clock.is_open("loss")
        now[0] += 8
    assert not clock.is_open("loss")
    now[0] += 16
    assert clock.take() == {"time/loss_s": 10.0, "time/teacher_s": 4.0, "time/step_s": 31.0}
    assert clock.take() == {"time/step_s": 0.0}


def test_a_phase_that_fails_is_closed() -> None:
    clock = timing.PhaseClock(torch.device("cpu"))
    with pytest.raises(ZeroDivisionError), clock("rollout"):
        _ = 1 // 0
    assert not clock.is_open("rollout")
