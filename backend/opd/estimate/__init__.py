"""RunConfig + data statistics -> memory, time, dollars: what a run will take, before it is started.

In: a configuration, the store (for what this machine has measured and what it has paid for), the device. Out: an
`Estimate`, ranges with their assumptions. Loads no model: sizes come from file headers or from a model's name. Asks
nobody; `opd.estimate.asking` does.
"""

from __future__ import annotations

from opd.config import LocalTeacher, RunConfig
from opd.data_loader import DataReport, check_file
from opd.estimate.duration import measured_time, rough_time
from opd.estimate.lengths import CHARS_PER_TOKEN, Lengths, prompt_lengths
from opd.estimate.memory import estimate_memory
from opd.estimate.shapes import (
    ON_THIS_MACHINE,
    Estimate,
    MemoryEstimate,
    MemoryPart,
    MoneyEstimate,
    ScenarioRow,
    StageCost,
    TimeEstimate,
    nothing_paid,
)
from opd.estimate.sizes import ModelSize, find_size
from opd.machine import Device, find_device
from opd.pricing import ASSUMPTIONS, WHY_REAL_DIFFERS, price_data_date, scenario_table
from opd.store.runs import RunStore

__all__ = [
    "Estimate",
    "MemoryEstimate",
    "MemoryPart",
    "ModelSize",
    "ScenarioRow",
    "StageCost",
    "TimeEstimate",
    "estimate",
    "estimate_scenarios",
    "find_size",
    "prompt_lengths",
]


def estimate(
    config: RunConfig, *, store: RunStore, device: Device | None = None, with_scenarios: bool = False
) -> Estimate:
    """What a run with this configuration will take.

    Args:
        device: None looks for it.

    Raises:
        DataError: there is no readable file at `data.path`.
    """
    report = check_file(config.data.path)
    lengths = prompt_lengths(config, report)
    device = device or find_device()
    student = find_size(config.student.model)
    teacher = find_size(config.teacher.model) if isinstance(config.teacher, LocalTeacher) else None
    memory = time = None
    if student is not None:
        memory = estimate_memory(config, student, teacher, lengths, device)
        time = rough_time(config, student, teacher, lengths, device, _num_test(config, report))
    time = measured_time(config, store) or time
    scenarios = estimate_scenarios() if with_scenarios else None
    money = _money(config, store, lengths) if report.ok else nothing_paid()
    return Estimate(
        **money.figures,
        price_date=money.price_date or (scenarios.price_date if scenarios else None),
        memory=memory,
        time=time,
        assumptions=[*money.assumptions, *_assumptions(config, lengths, student, teacher, time)],
        scenarios=scenarios.scenarios if scenarios else [],
        scenario_note=scenarios.scenario_note if scenarios else "",
    )


def _money(config: RunConfig, store: RunStore, lengths: Lengths) -> MoneyEstimate:
    if isinstance(config.teacher, LocalTeacher) and not config.evaluation.judge.model:
        return nothing_paid(ON_THIS_MACHINE)
    from opd.estimate.money import estimate_money  # brings an HTTP client: only for whom it is needed

    return estimate_money(config, store.root / "money.db", lengths)


def estimate_scenarios() -> Estimate:
    """The scenario table alone: what the simplest reckoning says of two known teachers."""
    rows = [
        ScenarioRow(
            model=row.model,
            num_prompts=row.num_prompts,
            num_steps=row.num_steps,
            num_calls=row.num_calls,
            num_tokens=row.input_tokens,
            usd=float(row.usd),
            usd_shown=row.usd_shown,
        )
        for row in scenario_table()
    ]
    figures = nothing_paid().figures | dict.fromkeys(("low_usd", "likely_usd", "high_usd"))
    return Estimate(
        **figures,
        price_date=price_data_date().isoformat(),
        memory=None,
        time=None,
        assumptions=[ASSUMPTIONS],
        scenarios=rows,
        scenario_note=f"{ASSUMPTIONS} {WHY_REAL_DIFFERS}",
    )


def _num_test(config: RunConfig, report: DataReport) -> int:
    if config.data.test_path is not None:
        return check_file(config.data.test_path).num_samples
    return round(report.num_samples * config.data.test_fraction)


def _assumptions(
    config: RunConfig,
    lengths: Lengths,
    student: ModelSize | None,
    teacher: ModelSize | None,
    time: TimeEstimate | None,
) -> list[str]:
    lines = []
    models = [("student", student, config.student.model)]
    if isinstance(config.teacher, LocalTeacher):
        models.append(("teacher", teacher, config.teacher.model))
    for role, size, model in models:
        if size is None:
            lines.append(f"The {role}'s size is not known ({model} is not on this machine): not counted.")
        elif not size.exact:
            lines.append(f"The {role}'s size is taken from its name: {size.num_parameters / 1e9:.1f} B parameters.")
    lines.append(
        f"A token is about {CHARS_PER_TOKEN} characters: prompts have {lengths.prompt} tokens, at most "
        f"{lengths.longest_prompt}."
    )
    lines.append(
        f"Memory is reckoned with completions of {lengths.longest_completion} tokens (the limit), time with "
        f"{lengths.completion}."
    )
    if time is not None:
        measured = "Time is from the newest finished run of this configuration on this machine."
        rough = "Time is rough, from the size of the models; after one run here it is measured."
        lines.append(measured if time.basis == "measured" else rough)
    return lines
