"""Whoever is told to wait, waits; whoever is answered, goes faster again."""

from __future__ import annotations

import threading

from opd.teachers.chat.pace import Clock, Pace


class StandingClock(Clock):
    """Moves only when somebody waits."""

    def __init__(self) -> None:
        self.time, self.waits = 0.0, list[float]()

    def now(self) -> float:
        return self.time

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        assert seconds is not None, "nobody else is there who could give a place back"
        self.waits.append(seconds)
        self.time += seconds


def test_nobody_leaves_before_the_time_that_the_provider_named() -> None:
    clock = StandingClock()
    pace = Pace(8, clock)
    pace.slow_down(7.5)
    with pace.slot() as may_leave:
        assert may_leave
    assert clock.waits == [7.5]


def test_many_refusals_at_once_are_one_piece_of_news_and_answers_win_the_pace_back() -> None:
    pace = Pace(16, StandingClock())
    for _ in range(10):
        pace.slow_down(1.0)
    assert pace.allowed == 8
    for _ in range(200):
        pace.went_well()
    assert pace.allowed == 16


def test_the_pace_never_falls_below_one() -> None:
    clock = StandingClock()
    pace = Pace(4, clock)
    for _ in range(9):
        pace.slow_down(1.0)
        clock.time += 2
    assert pace.allowed == 1


def test_after_a_halt_nothing_leaves_until_it_is_taken_back() -> None:
    pace = Pace(2, StandingClock())
    pace.slow_down(100.0)
    pace.halt()
    with pace.slot() as may_leave:
        assert not may_leave
    pace.go_on()
    with pace.slot() as may_leave:
        assert may_leave
