"""The looks in their order, and what they found as items."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from opd.config import ChatTeacher, RunConfig
from opd.errors import OPDError
from opd.preflight import asking, models, prompts, room
from opd.preflight.items import Finding, PreflightItem
from opd.store.runs import RunStore


def preflight(config: RunConfig, *, store: RunStore) -> list[PreflightItem]:
    """Look at everything that a run needs."""
    report = prompts.report(config)
    looks: list[tuple[str, str, Callable[[], Finding | None]]] = [
        ("packages", "Training packages", models.packages),
        ("student", "Student", lambda: models.model(config.student.model)),
        ("teacher", "Teacher", lambda: models.teacher(config)),
        ("objective", "Objective", lambda: models.objective(config)),
        ("data", "Prompts", lambda: prompts.data(config, report)),
        ("held_out", "Held-out prompts", lambda: prompts.held_out(config, report)),
        ("regime", "Few prompts or many", lambda: prompts.regime(config, report)),
        ("context", "Context length", lambda: prompts.context(config, report)),
        ("memory", "Memory", lambda: room.memory(config, report)),
        ("disk", "Disk", lambda: room.disk(config, store)),
        ("device", "Device", lambda: room.device(config, store)),
    ]
    if config.evaluation.judge.model:
        looks.append(("judge", "Judge", lambda: asking.judge(config, store)))
    items: list[PreflightItem] = []
    try:
        found_out = asking.probe(config, store)
    except OPDError as error:
        found_out = None
        looks.append(("pair", "What the teacher gives", partial(_failed, error)))
    for name, title, look in looks:
        try:
            found = look()
        except OPDError as error:
            found = Finding("fail", error.message, error.hint)
        if found is not None:
            items.append(PreflightItem(id=name, title=title, **found._asdict()))
    if isinstance(config.teacher, ChatTeacher):
        return [*items[:1], *asking.chat(config, store), *items[1:]]
    return items if found_out is None else _merged(items, asking.found_out(found_out))


def _merged(items: list[PreflightItem], found_out: list[PreflightItem]) -> list[PreflightItem]:
    """The probe's items beside the others; of two about the same thing the one that failed first, else the probe's."""
    failed = {item.id for item in items if item.status == "fail"}
    new = [item for item in found_out if item.id not in failed]
    replaced = {item.id for item in new}
    return [*(item for item in items if item.id not in replaced), *new]


def _failed(error: OPDError) -> Finding:
    return Finding("fail", error.message, error.hint)
