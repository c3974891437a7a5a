"""Room for the run: memory, disk, and a device that is free."""

from __future__ import annotations

from opd.config import LocalTeacher, RunConfig
from opd.data_loader import DataReport
from opd.estimate import find_size, prompt_lengths
from opd.estimate.memory import estimate_memory, trains_adapter
from opd.jobs import devices_clash
from opd.machine import describe_machine, existing_parent, find_device
from opd.preflight.items import Finding, Status, gigabytes
from opd.store.runs import ACTIVE, RunStore


def memory(config: RunConfig, report: DataReport | None) -> Finding | None:
    """Memory that training takes; None where a part is not here yet."""
    student = find_size(config.student.model)
    if student is None or report is None:
        return None
    teacher = find_size(config.teacher.model) if isinstance(config.teacher, LocalTeacher) else None
    device = find_device()
    memory = estimate_memory(config, student, teacher, prompt_lengths(config, report), device)
    largest = ", ".join(f"{part.name.lower()} {gigabytes(part.num_bytes)}" for part in memory.parts[:3])
    detail = f"About {gigabytes(memory.total_bytes)} of {gigabytes(memory.available_bytes)} free ({largest})."
    if memory.fits:
        return Finding("ok", detail)
    never = memory.total_bytes > device.memory_total_bytes
    ways = ["lower micro_batch_size", "lower sampling.max_completion_tokens"]
    if not trains_adapter(config, student):
        ways.insert(0, "train adapters (student.training: lora)")
    status: Status = "fail" if never else "warn"
    return Finding(status, detail, f"In this order: {', '.join(ways)}{'' if never else '; or close other programs'}.")


def disk(config: RunConfig, store: RunStore) -> Finding | None:
    """Disk that checkpoints and the student take."""
    student = find_size(config.student.model)
    if student is None:
        return None
    whole = student.num_parameters * 4
    checkpoint = whole // 20 if trains_adapter(config, student) else 3 * whole  # weights and two moments
    needed = (config.checkpoint.keep + 1) * checkpoint + whole + 50 * 2**20
    free = describe_machine(existing_parent(store.root)).disk_free_bytes
    detail = f"About {gigabytes(needed)} needed, {gigabytes(free)} free."
    if needed <= free:
        return Finding("ok", detail)
    return Finding(
        "fail", detail, "Free space, delete old runs (`opd runs delete`), or move the data folder with OPD_DATA_DIR."
    )


def device(config: RunConfig, store: RunStore) -> Finding:
    """Whether the device is there and no other run is at work on it."""
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
