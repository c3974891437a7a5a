"""The conversation with a run's models as a file: where its process listens, and which models it has loaded.

    chat.json       kept by the process that holds the models

As with exports, nothing on disk is believed about being alive: without its process a conversation is over.
"""

from __future__ import annotations

import os
from typing import Literal

import psutil
from pydantic import BaseModel, ConfigDict

from opd.events import RunFailure
from opd.store.exports import is_alive
from opd.store.files import read_json, write_json
from opd.store.runs import RunFolder

Who = Literal["start", "student", "teacher"]
VoiceState = Literal["waiting", "loading", "ready", "failed"]
ChatEnd = Literal["idle", "closed", "failed"]

_LOST = RunFailure(
    code="chat_interrupted",
    message="The process that held the models ended before its time.",
    hint="Open the conversation again. Where memory is short, close other programs first.",
)


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, json_schema_serialization_defaults_required=True
    )


class Voice(_Model):
    """One of the models that answer."""

    who: Who
    """start: the student as it came. student: what the run made of it."""
    model: str
    """Its name or folder."""
    state: VoiceState = "waiting"
    error: RunFailure | None = None
    """Why it could not be loaded."""


class ChatRecord(_Model):
    """What is known of a conversation."""

    port: int | None = None
    """Where its process listens on this machine."""
    voices: list[Voice] = []
    end: ChatEnd | None = None
    """None while it is open. idle: nobody asked for a while. failed: `error` says why."""
    error: RunFailure | None = None


def read_chat(run: RunFolder) -> ChatRecord | None:
    """The newest conversation with this run's models; None where there was none, or its record cannot be read."""
    kept = read_json(run.path / "chat.json")
    if not isinstance(kept, dict):
        return None
    process = kept.pop("process", None)
    try:
        record = ChatRecord.model_validate(kept)
    except ValueError:
        return None
    if record.end is None and not is_alive(process):
        return record.model_copy(update={"end": "failed", "error": _LOST})
    return record


def write_chat(run: RunFolder, record: ChatRecord, *, pid: int | None = None) -> None:
    """Keep the record, with the process that holds the models."""
    number = pid or os.getpid()
    kept = {"pid": number, "create_time": psutil.Process(number).create_time()}
    write_json(run.path / "chat.json", {**record.model_dump(), "process": kept})
