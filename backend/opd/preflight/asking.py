"""What the teacher itself says: the probe in a process of its own, or what is known of a chat API without asking it."""

from __future__ import annotations

from dataclasses import asdict

from opd.config import ChatTeacher, LocalTeacher, RunConfig
from opd.errors import OPDError
from opd.hub_cache import local_folder, local_tokenizer
from opd.jobs import needed_keys
from opd.keys import Keys
from opd.machine import missing_training_packages
from opd.preflight.items import Finding, PreflightItem
from opd.preflight.models import HUB_ID
from opd.processes import child_environment
from opd.store.runs import RunStore
from opd.teachers.apart import probe_apart
from opd.teachers.probe_report import ProbeReport


def probe(config: RunConfig, store: RunStore) -> ProbeReport | None:
    """What the teacher can do for the student, asked live; None where that has to wait or cannot be asked for free."""
    if missing_training_packages() or not _is_here(config):
        return None
    return ask_teacher(config, store)


def _is_here(config: RunConfig) -> bool:
    """Whether what the probe reads is on this machine; it fetches nothing, the run does."""
    teacher, here = config.teacher, [local_folder(config.student.model)]
    if isinstance(teacher, ChatTeacher):
        return False
    if isinstance(teacher, LocalTeacher):
        here.append(local_folder(teacher.model))
    elif teacher.tokenizer is not None and HUB_ID.fullmatch(teacher.tokenizer):
        here.append(local_tokenizer(teacher.tokenizer))
    return all(here)


def ask_teacher(config: RunConfig, store: RunStore) -> ProbeReport:
    """The probe, in a process of its own, with the teacher's key if there is one.

    Raises:
        RunFailedError: the process gave no answer.
    """
    names = [name for name in needed_keys(config) if name != "huggingface"]
    keys = Keys(store.root).collect(names)
    return probe_apart(config, key=next(iter(keys.values()), None), environment=child_environment())


def found_out(report: ProbeReport) -> list[PreflightItem]:
    """The probe as items: what fits is one, what does not stands by itself."""
    wrong = [row for row in report.rows if row.status != "ok"]
    items = [
        PreflightItem(id=row.id, code=row.code, status=row.status, title=row.title, detail=row.detail, fix=row.fix)
        for row in wrong
    ]
    if report.finding and report.ok:
        detail = f"It grades the student {report.finding}."
        items.insert(
            0, PreflightItem(id="pair", code="fits", status="ok", title="What the teacher gives", detail=detail, fix="")
        )
    return items


def chat(config: RunConfig, store: RunStore) -> list[PreflightItem]:
    """What a chat teacher needs, looked at without sending anything."""
    from opd.teachers.chat.readiness import look  # brings an HTTP client: only for whom it is needed

    keys = Keys(store.root)
    try:
        found = look(config, lambda name: keys.presence_of(name).present)
    except OPDError as error:
        return [PreflightItem(id="teacher", status="fail", title="Teacher", detail=error.message, fix=error.hint)]
    return [PreflightItem(**asdict(item)) for item in found]


def judge(config: RunConfig, store: RunStore) -> Finding:
    """What the judge needs, looked at without sending anything."""
    from opd.teachers.chat.readiness import look_at_judge

    keys = Keys(store.root)
    found = look_at_judge(config, lambda name: keys.presence_of(name).present)
    return Finding(found.status, found.detail, found.fix)
