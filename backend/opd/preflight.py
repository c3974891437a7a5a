"""What is ready and what is not, before a run: looked at in about a second, without loading a model.

In: a configuration and the store. Out: items, each ok, warn or fail, with what was found and what to do. A run that
starts in spite of a failed item will fail in its own pre-flight, with the same words.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from opd.config import SIGNAL_WORDS, ChatTeacher, LocalTeacher, RunConfig
from opd.data_loader import DataReport, check_file, shared_prompts
from opd.errors import DataError, OPDError
from opd.estimate import find_size, prompt_lengths
from opd.estimate.memory import estimate_memory, trains_adapter
from opd.hub_cache import local_folder
from opd.jobs import child_environment, devices_clash, needed_keys
from opd.keys import Keys
from opd.machine import describe_machine, existing_parent, find_device, missing_training_packages
from opd.model_files import KNOWN_MODELS, check_model_folder, nearest_models, read_facts
from opd.store.runs import ACTIVE, RunStore
from opd.teachers.apart import probe_apart
from opd.teachers.probe_report import ProbeReport

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_FEW_TEST_PROMPTS = 30
Status = Literal["ok", "warn", "fail"]


class PreflightItem(BaseModel):
    """One thing that was looked at."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, json_schema_serialization_defaults_required=True
    )

    id: str
    """Stable name, such as student, data or memory."""
    status: Status
    title: str
    detail: str
    """What was found."""
    fix: str
    """What to do; empty when ok."""
    code: str = ""
    """Stable name of what was found, where the teacher's probe has one."""


class Finding(NamedTuple):
    """What one look found."""

    status: Status
    detail: str
    fix: str = ""


def preflight(config: RunConfig, *, store: RunStore) -> list[PreflightItem]:
    """Look at everything that a run needs."""
    report = _report(config)
    looks: list[tuple[str, str, Callable[[], Finding | None]]] = [
        ("packages", "Training packages", _packages),
        ("student", "Student", lambda: _model(config.student.model)),
        ("teacher", "Teacher", lambda: _teacher(config)),
        ("objective", "Objective", lambda: _objective(config)),
        ("data", "Prompts", lambda: _data(config, report)),
        ("held_out", "Held-out prompts", lambda: _held_out(config, report)),
        ("context", "Context length", lambda: _context(config, report)),
        ("memory", "Memory", lambda: _memory(config, report)),
        ("disk", "Disk", lambda: _disk(config, store)),
        ("device", "Device", lambda: _device(config, store)),
    ]
    if config.evaluation.judge.model:
        looks.append(("judge", "Judge", lambda: _judge(config, store)))
    items: list[PreflightItem] = []
    try:
        found_out = _probe(config, store)
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
        return [*items[:1], *_chat(config, store), *items[1:]]
    return items if found_out is None else _merged(items, _found_out(found_out))


def _chat(config: RunConfig, store: RunStore) -> list[PreflightItem]:
    """What a chat teacher needs, looked at without sending anything."""
    from opd.teachers.chat.readiness import look  # brings an HTTP client: only for whom it is needed

    keys = Keys(store.root)
    try:
        found = look(config, lambda name: keys.presence_of(name).present)
    except OPDError as error:
        return [PreflightItem(id="teacher", status="fail", title="Teacher", detail=error.message, fix=error.hint)]
    return [PreflightItem(**asdict(item)) for item in found]


def _judge(config: RunConfig, store: RunStore) -> Finding:
    from opd.teachers.chat.readiness import look_at_judge

    keys = Keys(store.root)
    found = look_at_judge(config, lambda name: keys.presence_of(name).present)
    return Finding(found.status, found.detail, found.fix)


def _merged(items: list[PreflightItem], found_out: list[PreflightItem]) -> list[PreflightItem]:
    """The probe's items beside the others; of two about the same thing the one that failed first, else the probe's."""
    failed = {item.id for item in items if item.status == "fail"}
    new = [item for item in found_out if item.id not in failed]
    replaced = {item.id for item in new}
    return [*(item for item in items if item.id not in replaced), *new]


def _failed(error: OPDError) -> Finding:
    return Finding("fail", error.message, error.hint)


def _report(config: RunConfig) -> DataReport | None:
    """The check of the prompts; None where there is no file, which the look at the data then says."""
    try:
        return check_file(config.data.path)
    except DataError:
        return None


def _packages() -> Finding:
    missing = missing_training_packages()
    if missing:
        return Finding(
            "fail", f"Not installed: {', '.join(missing)}.", 'Install them with `pip install "opd-studio[train]"`.'
        )
    return Finding("ok", "All are installed.")


def _teacher(config: RunConfig) -> Finding | None:
    if isinstance(config.teacher, LocalTeacher):
        return _model(config.teacher.model)
    if isinstance(config.teacher, ChatTeacher):
        return None
    return Finding("ok", f"{config.teacher.model}, not on this machine.")


def _model(model: str) -> Finding:
    folder = local_folder(model)
    if folder is not None:
        check_model_folder(folder)
        facts = read_facts(folder)
        if not facts.has_chat_template:
            return Finding(
                "fail",
                f"{model} has no chat template, so chat prompts cannot be put to it.",
                "Take the instruct or chat version of this model.",
            )
        detail = f"{model}: {_count(facts.num_parameters)} parameters, safetensors, context {facts.context_length:,}."
        return Finding("ok", detail)
    near = [] if model in KNOWN_MODELS else nearest_models(model)
    did_you_mean = f"Did you mean {' or '.join(near)}?" if near else ""
    if not _HUB_ID.fullmatch(model):
        return Finding(
            "fail",
            f"There is no model folder {model!r}, and it is no Hugging Face id (owner/name).",
            did_you_mean or "Give the path of a folder with config.json and model.safetensors.",
        )
    return Finding(
        "warn",
        f"{model} is not on this machine; the run downloads it first.",
        did_you_mean or "Make sure that the machine is online, or give the path of a model folder.",
    )


def _probe(config: RunConfig, store: RunStore) -> ProbeReport | None:
    """What the teacher can do for the student, asked live; None where that has to wait or cannot be asked for free."""
    models = [config.student.model, *([config.teacher.model] if config.teacher.type == "local" else [])]
    if config.teacher.type == "chat" or missing_training_packages() or not all(map(local_folder, models)):
        return None
    return ask_teacher(config, store)


def ask_teacher(config: RunConfig, store: RunStore) -> ProbeReport:
    """The probe, in a process of its own, with the teacher's key if there is one.

    Raises:
        RunFailedError: the process gave no answer.
    """
    names = [name for name in needed_keys(config) if name != "huggingface"]
    keys = Keys(store.root).collect(names)
    return probe_apart(config, key=next(iter(keys.values()), None), environment=child_environment())


def _found_out(report: ProbeReport) -> list[PreflightItem]:
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


def _objective(config: RunConfig) -> Finding:
    how = "not token-level" if config.objective.needs == "text" else "token by token"
    detail = f"{config.objective.type} uses the teacher's {SIGNAL_WORDS[config.objective.needs]}, {how}."
    return Finding("ok", detail)


def _data(config: RunConfig, report: DataReport | None) -> Finding:
    report = report or check_file(config.data.path)
    if not report.ok:
        return _first_problem(report)
    if config.data.answer_match != "none" and report.num_references == 0:
        return Finding(
            "fail",
            f"answer_match is {config.data.answer_match}, but no prompt has an answer to compare with.",
            "Set answer_match to none, or add an `answer` to each line.",
        )
    detail = f"{report.num_samples:,} prompts"
    if report.num_duplicates:
        return Finding(
            "warn",
            f"{detail}, {report.num_duplicates:,} of them twice.",
            "Nothing has to be done; repeated prompts simply count more.",
        )
    return Finding("ok", f"{detail}, no problems.")


def _held_out(config: RunConfig, report: DataReport | None) -> Finding | None:
    if not config.evaluation.enabled:
        return None
    if config.data.test_path is not None:
        separate = check_file(config.data.test_path)
        if not separate.ok:
            return _first_problem(separate)
        num = separate.num_samples
        if shared := shared_prompts(config.data.path, config.data.test_path):
            return Finding(
                "warn",
                f"{shared:,} of {num:,} are trained on as well: on those, the verdict shows memory and not skill.",
                "Take them out of one of the two files.",
            )
    elif report is None:
        return None
    else:
        num = round(report.num_samples * config.data.test_fraction)
    if num < _FEW_TEST_PROMPTS:
        return Finding(
            "warn",
            f"Only {num}: the verdict will have wide intervals.",
            "Hold out more prompts, or give a separate file as test_path.",
        )
    return Finding("ok", f"{num:,} for the verdict.")


def _first_problem(report: DataReport) -> Finding:
    first = next(problem for problem in report.problems if problem.severity == "error")
    count = f"{report.num_errors:,} problem{'s' if report.num_errors != 1 else ''}"
    return Finding("fail", f"{count}, first in line {first.line}, byte {first.byte_offset}: {first.reason}.", first.fix)


def _context(config: RunConfig, report: DataReport | None) -> Finding | None:
    folder = local_folder(config.student.model)
    if folder is None or report is None:
        return None
    context = read_facts(folder).context_length
    lengths = prompt_lengths(config, report)
    needed = lengths.longest_prompt + lengths.longest_completion
    if context and needed > context:
        return Finding(
            "warn",
            f"The longest prompt and completion take about {needed:,} tokens; the student reads {context:,}.",
            "Lower sampling.max_completion_tokens or shorten the longest prompts.",
        )
    return Finding("ok", f"About {needed:,} of {context:,} tokens.")


def _memory(config: RunConfig, report: DataReport | None) -> Finding | None:
    student = find_size(config.student.model)
    if student is None or report is None:
        return None
    teacher = find_size(config.teacher.model) if isinstance(config.teacher, LocalTeacher) else None
    device = find_device()
    memory = estimate_memory(config, student, teacher, prompt_lengths(config, report), device)
    largest = ", ".join(f"{part.name.lower()} {_gigabytes(part.num_bytes)}" for part in memory.parts[:3])
    detail = f"About {_gigabytes(memory.total_bytes)} of {_gigabytes(memory.available_bytes)} free ({largest})."
    if memory.fits:
        return Finding("ok", detail)
    never = memory.total_bytes > device.memory_total_bytes
    ways = ["lower micro_batch_size", "lower sampling.max_completion_tokens"]
    if not trains_adapter(config, student):
        ways.insert(0, "train adapters (student.training: lora)")
    status: Status = "fail" if never else "warn"
    return Finding(status, detail, f"In this order: {', '.join(ways)}{'' if never else '; or close other programs'}.")


def _disk(config: RunConfig, store: RunStore) -> Finding | None:
    student = find_size(config.student.model)
    if student is None:
        return None
    whole = student.num_parameters * 4
    checkpoint = whole // 20 if trains_adapter(config, student) else 3 * whole  # weights and two moments
    needed = (config.checkpoint.keep + 1) * checkpoint + whole + 50 * 2**20
    free = describe_machine(existing_parent(store.root)).disk_free_bytes
    detail = f"About {_gigabytes(needed)} needed, {_gigabytes(free)} free."
    if needed <= free:
        return Finding("ok", detail)
    return Finding(
        "fail", detail, "Free space, delete old runs (`opd runs delete`), or move the data folder with OPD_DATA_DIR."
    )


def _device(config: RunConfig, store: RunStore) -> Finding:
    for run in store:
        if run.state() in ACTIVE and devices_clash(config.device, run.config().device):
            return Finding(
                "fail",
                f"Run {run.run_id} is at work on it.",
                "Wait until it has ended, or stop it: it can be resumed later.",
            )
    device = find_device()
    if config.device not in ("auto", "cpu", device.kind):
        return Finding(
            "fail",
            f"device is {config.device}, but this machine has {device.name} ({device.kind}).",
            "Set device to auto.",
        )
    kind = device.kind if config.device == "auto" else config.device
    return Finding("ok", f"{kind} is free.")


def _count(number: int) -> str:
    for size, word in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f} {word}"
    return str(number)


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 5e7 else f"{num_bytes / 1e6:.0f} MB"
