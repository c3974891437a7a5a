"""What two runs have to have in common: the model's bits, and all that they say of themselves but times."""

from __future__ import annotations

import hashlib
from typing import Any

from opd.events import AlarmRaised, RunResumed, StepLogged
from opd.store.runs import RunFolder

_OF_THE_MOMENT = ("phase_started", "phase_progressed", "checkpoint_saved", "money_spent")
"""Said by the clock, or again by each attempt. Money is compared in the ledger."""


def model_digest(run: RunFolder) -> str:
    return hashlib.sha256((run.student_path / "model.safetensors").read_bytes()).hexdigest()


def history(run: RunFolder) -> dict[str, Any]:
    """What a run says of itself but times and interruptions, as a page shows it: steps after a resume are said anew."""
    kept: list[Any] = []
    for event in (stored.event for stored in stored_events(run)):
        match event:
            case RunResumed(step=step):
                kept = [e for e in kept if not (_belongs_to_a_step(e) and e.step > step)]
            case _ if event.kind not in _OF_THE_MOMENT:
                kept.append(event)
    return {f"{e.kind} {_name(e)} {n}": _content(e) for n, e in _numbered(kept)}


def _belongs_to_a_step(event: Any) -> bool:
    if isinstance(event, StepLogged):
        return event.stage == "distillation"
    return event.kind == "sample_recorded" or isinstance(event, AlarmRaised)


def _name(event: Any) -> str:
    parts = (getattr(event, name, "") for name in ("stage", "step", "author", "prompt_id", "subject", "code"))
    return " ".join(str(part) for part in parts if part != "")


def _numbered(events: list[Any]) -> list[tuple[int, Any]]:
    """Each event with how often the same thing was said before: said twice is a difference, too."""
    said: dict[tuple[str, str], int] = {}
    numbered = []
    for event in events:
        key = (event.kind, _name(event))
        if isinstance(event, StepLogged) and event.stage != "distillation":
            said.pop(key, None)  # a short stage without checkpoints begins anew: the last word counts
        said[key] = said.get(key, 0) + 1
        numbered.append((said[key], event))
    return numbered


def _content(event: Any) -> Any:
    content = event.model_dump()
    if isinstance(event, StepLogged):
        content["metrics"] = {
            k: v
            for k, v in event.metrics.items()
            if not k.startswith("time/") and k not in ("tokens_per_s", "spent_usd")
        }
    return content


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Names of what is not the same."""
    return sorted(key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key))[:10]


def stored_events(run: RunFolder) -> list[Any]:
    with run.reader() as reader:
        return reader.read(limit=1_000_000)
