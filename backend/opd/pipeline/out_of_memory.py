"""Out of memory in words: in which phase, what takes most of it, and what to change, in the order to try.

In: the run's configuration and its phase. Out: an `OutOfMemoryError`. Figures are those of `opd estimate`, for the
configuration as it is and with each change; what saves nothing is not offered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from opd.config import LocalTeacher, RunConfig, parse_config
from opd.errors import OPDError, OutOfMemoryError
from opd.estimate import estimate
from opd.estimate.shapes import MemoryEstimate
from opd.events import Fix, Phase
from opd.store.amendments import merged
from opd.store.runs import RunFolder, RunStore

_WHILE: Mapping[Phase, str] = {
    "loading": "the models were loaded",
    "evaluating_before": "the student was measured before training",
    "answering": "the teacher's answers were collected",
    "warm_start": "the student was warmed up",
    "baseline": "the imitation baseline was trained",
    "distilling": "the student was trained",
    "evaluating_after": "the student was measured after training",
}
_LARGEST = 3


def out_of_memory(folder: RunFolder, phase: Phase) -> OutOfMemoryError:
    """The error for a run whose device had no memory left in this phase."""
    message = f"The device ran out of memory while {_WHILE.get(phase, 'the run was at work')}."
    store = RunStore(folder.path.parents[1])
    try:
        config = folder.config()
        memory = estimate(config, store=store).memory
        if memory is None:  # a model that is not on this machine has no size to reckon with
            return OutOfMemoryError(message, hint=_advice(folder, []))
        largest = ", ".join(f"{part.name} {_gb(part.num_bytes)}" for part in memory.parts[:_LARGEST])
        message += f" By estimate it needs {_gb(memory.total_bytes)}; the largest parts: {largest}."
        fixes = list(_savings(config, memory, store))
        return OutOfMemoryError(message, hint=_advice(folder, fixes), details={"fixes": fixes})
    except OPDError:  # the files it is reckoned from are gone: say what is known
        return OutOfMemoryError(message, hint=_advice(folder, []))


def _advice(folder: RunFolder, fixes: Sequence[Fix]) -> str:
    changes = "; ".join(f"{number}. {fix.words} (saves {_gb(fix.saves_bytes)})" for number, fix in enumerate(fixes, 1))
    if not changes:
        return "Close other programs, or take a device with more memory. Then resume: the last checkpoint is kept."
    command = f"opd runs resume {folder.run_id} --fix 1"
    return f"In this order: {changes}. `{command}` takes the first and goes on from the last checkpoint."


def _savings(config: RunConfig, memory: MemoryEstimate, store: RunStore) -> Iterator[Fix]:
    """Changes and the bytes they save: first what leaves the result as it is, then the largest saving first."""
    found: list[Fix] = []
    for words, change, same_result in _changes(config, memory):
        changed = estimate(parse_config(merged(config.model_dump(mode="json"), change)), store=store).memory
        if changed is not None and changed.total_bytes < memory.total_bytes:
            saves = memory.total_bytes - changed.total_bytes
            found.append(Fix(words=words, change=change, saves_bytes=saves, same_result=same_result))
    yield from sorted(found, key=lambda fix: (not fix.same_result, -fix.saves_bytes))


def _changes(config: RunConfig, memory: MemoryEstimate) -> Iterator[tuple[str, dict[str, Any], bool]]:
    rows, length = memory.micro_batch_size, config.sampling.max_completion_tokens
    if rows > 1:
        yield f"micro_batch_size: {rows // 2}, for the same result", {"micro_batch_size": rows // 2}, True
    if length > 1:
        words = f"sampling.max_completion_tokens: {length // 2}"
        yield words, {"sampling": {"max_completion_tokens": length // 2}}, False
    if isinstance(config.teacher, LocalTeacher) and config.teacher.dtype in ("auto", "float32"):
        yield "teacher.dtype: bfloat16", {"teacher": {"dtype": "bfloat16"}}, False


def _gb(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.1f} MB"
