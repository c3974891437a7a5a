"""Alarms: nine bad traces fire within five steps, healthy ones never do.

The healthy trace is shaped like the bundled demo's: reverse KL 1.4 to 0.2 nats/token with large noise at first, entropy
0.4 to 0.1, about 24 of 40 tokens, now and then a truncated completion, an early bump when the learning rate peaks.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opd.evaluation.health import HealthMonitor
from opd.events import AlarmRaised

Metrics = dict[str, float | None]
BAD_FROM = 40


def healthy(seed: int, num_steps: int = 200) -> list[Metrics]:
    rng = random.Random(seed)
    trace = []
    for step in range(1, num_steps + 1):
        done = step / num_steps
        noise = math.exp(rng.gauss(0, 0.3 * (1 - done) + 0.12))
        bump = 1 + 0.4 * math.exp(-(((step - 12) / 6) ** 2))
        kl = (0.2 + 1.2 * math.exp(-5 * done)) * noise * bump
        cut = rng.choice([0, 0, 0, 0, 0, 0, 1, 2]) / 32
        trace.append(
            Metrics(
                loss=kl,
                reverse_kl=kl,
                entropy=(0.1 + 0.3 * math.exp(-4 * done)) * math.exp(rng.gauss(0, 0.15)),
                teacher_entropy=0.08 * math.exp(rng.gauss(0, 0.1)),
                grad_norm=2.0 * noise,
                learning_rate=1e-3 * (1 - done),
                on_policy_share=1.0,
                tokens_per_s=5000.0,
                truncated_share=cut,
                eos_share=1 - cut,
                **{
                    "completion_tokens/mean": 24 + rng.gauss(0, 1.5),
                    "completion_tokens/max": 40.0 if cut else 33.0,
                    "time/step_s": 0.2,
                },
            )
        )
    return trace


def run(trace: list[Metrics], monitor: HealthMonitor | None = None) -> list[AlarmRaised]:
    monitor = monitor or HealthMonitor(max_completion_tokens=40)
    return [alarm for step, metrics in enumerate(trace, 1) for alarm in monitor.observe(step, metrics)]


def spoil(**change: Callable[[int], float | None]) -> Callable[[list[Metrics]], None]:
    """Overwrite metrics from BAD_FROM on; the functions get the steps since then (0, 1, …)."""

    def apply(trace: list[Metrics]) -> None:
        for index, metrics in enumerate(trace[BAD_FROM - 1 :]):
            metrics.update({name.replace("__", "/"): make(index) for name, make in change.items()})

    return apply


BAD = {
    "not_finite": spoil(loss=lambda k: math.nan),
    "eos_never_sampled": spoil(
        eos_share=lambda k: 0.0, truncated_share=lambda k: 1.0, completion_tokens__mean=lambda k: 40.0
    ),
    "truncated": spoil(
        truncated_share=lambda k: min(0.9, 0.4 + 0.1 * k), eos_share=lambda k: 1 - min(0.9, 0.4 + 0.1 * k)
    ),
    "length_inflation": spoil(completion_tokens__mean=lambda k: 60.0 + 5 * k),
    "entropy_collapse": spoil(entropy=lambda k: 0.004, reverse_kl=lambda k: 0.9, loss=lambda k: 0.9),
    "kl_spike": spoil(reverse_kl=lambda k: 4.0 + k),
    "judge_disagrees": spoil(reward=lambda k: 0.6, judge_score=lambda k: 0.4),
}


@pytest.mark.parametrize("seed", range(20))
def test_healthy_traces_raise_nothing(seed: int) -> None:
    assert run(healthy(seed)) == []


RECORDED = json.loads(Path(__file__).with_name("healthy_traces.json").read_text(encoding="utf-8"))


def test_twenty_demos_are_recorded_and_all_went_well() -> None:
    assert [run["seed"] for run in RECORDED["runs"]] == list(range(20))
    assert all(run["right"] > 0.65 for run in RECORDED["runs"]), "of 488 questions; the student began at .24"


@pytest.mark.parametrize("run_of_seed", RECORDED["runs"], ids=lambda run_of_seed: f"seed {run_of_seed['seed']}")
def test_a_recorded_demo_raises_nothing(run_of_seed: dict[str, Any]) -> None:
    """What the alarms of real runs see (record_traces.py), step metrics and probe answers alike."""
    monitor = HealthMonitor(max_completion_tokens=40)
    raised = []
    parts = RECORDED["parts"]
    for index in range(200):
        metrics: Metrics = {name: run_of_seed[name][index] / parts[name] for name in parts}
        metrics["loss"] = metrics["reverse_kl"]
        metrics["eos_share"] = 1 - (metrics["truncated_share"] or 0)
        raised += monitor.observe(index + 1, metrics)
        for text in run_of_seed["texts"].get(str(index + 1), []):
            raised += monitor.observe_sample(index + 1, text, truncated=False)
    assert raised == []


def test_one_odd_completion_is_no_spike() -> None:
    trace = healthy(5)
    for index in (60, 110, 160):
        trace[index].update(reverse_kl=4.0, loss=4.0)
    assert run(trace) == []


@pytest.mark.parametrize("code", BAD)
@pytest.mark.parametrize("seed", range(3))
def test_a_bad_trace_fires_within_five_steps_once_and_alone(code: str, seed: int) -> None:
    trace = healthy(seed)
    if code == "judge_disagrees":
        for metrics in trace:
            metrics.update(reward=0.5, judge_score=0.5)
    BAD[code](trace)
    raised = run(trace)
    assert [alarm.code for alarm in raised] == [code]
    assert BAD_FROM <= raised[0].step < BAD_FROM + 5
    assert raised[0].what
    assert raised[0].why
    assert raised[0].advice


@pytest.mark.parametrize("code", ["not_finite", "eos_never_sampled", "truncated"])
def test_what_is_wrong_from_the_first_step_needs_no_past(code: str) -> None:
    trace = healthy(0)
    BAD[code](trace)
    raised = run(trace[BAD_FROM - 1 :])
    assert [alarm.code for alarm in raised] == [code]
    assert raised[0].step <= 5


def test_infinite_gradients_and_a_missing_loss_are_not_numbers() -> None:
    for change in ({"grad_norm": math.inf}, {"loss": None}):
        trace = healthy(1)[:3]
        trace[2].update(change)  # type: ignore[arg-type]  # None and inf are both values
        assert [alarm.code for alarm in run(trace)] == ["not_finite"]


def test_a_metric_that_a_step_cannot_have_is_no_alarm() -> None:
    trace = healthy(2)
    for metrics in trace[::3]:
        metrics["reverse_kl"] = None  # a window without on-policy rows
    assert run(trace) == []


def test_an_alarm_comes_again_only_after_it_was_away() -> None:
    trace = healthy(3)
    for index in (*range(50, 56), *range(58, 64), *range(120, 126)):
        trace[index].update(truncated_share=0.8, eos_share=0.2)
    steps = [alarm.step for alarm in run(trace)]
    assert len(steps) == 2
    assert steps[0] < 56
    assert steps[1] > 120


def test_falling_entropy_beside_a_sure_teacher_is_success() -> None:
    trace = healthy(4)
    for index, metrics in enumerate(trace[100:]):
        metrics.update(entropy=0.02 * 0.97**index, reverse_kl=0.1, teacher_entropy=0.015 * 0.97**index)
    assert run(trace) == []


def looping(monitor: HealthMonitor, step: int) -> list[AlarmRaised]:
    return monitor.observe_sample(step, "so 7+8=15, so 7+8=15, so 7+8=15, so 7+8=15, so 7+8=15", truncated=True)


GUIDE = "Always begin with the change on the year and then name the two largest segments by contribution."


def leaking(monitor: HealthMonitor, step: int) -> list[AlarmRaised]:
    return monitor.observe_sample(step, f"The guide says: {GUIDE.lower()} So: 33.", truncated=False)


def refusing(monitor: HealthMonitor, step: int) -> list[AlarmRaised]:
    return monitor.observe_sample(step, "I'm sorry, but I can't give financial advice.", truncated=False)


def teacher_refusing(monitor: HealthMonitor, step: int) -> list[AlarmRaised]:
    return monitor.observe_teacher_answer(step, "I cannot provide financial advice.", truncated=False)


def teacher_cut(monitor: HealthMonitor, step: int) -> list[AlarmRaised]:
    return monitor.observe_teacher_answer(step, "The margin rose because", truncated=True)


BAD_TEXTS = {
    "repetition": looping,
    "leakage": leaking,
    "refusals": refusing,
    "teacher_refusals": teacher_refusing,
    "teacher_truncated": teacher_cut,
}


def good_texts(monitor: HealthMonitor, step: int) -> list[AlarmRaised]:
    return [
        *monitor.observe_sample(step, f"47+3{step % 10}\n7+8=15 carry 1\n=85", truncated=step % 40 == 0),
        *monitor.observe_teacher_answer(step, f"The change on the year is {step}.", truncated=step % 40 == 0),
    ]


@pytest.mark.parametrize("code", BAD_TEXTS)
def test_bad_texts_fire_within_five_steps_once(code: str) -> None:
    monitor = HealthMonitor(max_completion_tokens=40, private_texts=[GUIDE])
    raised = [alarm for step in range(1, BAD_FROM) for alarm in good_texts(monitor, step)]
    assert raised == []
    # Where samples are recorded every step, a step has a few of them.
    for step in range(BAD_FROM, BAD_FROM + 20):
        raised += [alarm for _ in range(3) for alarm in BAD_TEXTS[code](monitor, step)]
    assert [alarm.code for alarm in raised] == [code]
    assert raised[0].step < BAD_FROM + 5


def test_what_the_prompt_itself_says_may_be_repeated() -> None:
    monitor = HealthMonitor(max_completion_tokens=40, private_texts=[GUIDE])
    assert monitor.observe_sample(1, GUIDE, truncated=False, prompt=f"Repeat after me: {GUIDE}") == []
