"""The shapes of the live stream's frames, so that they reach OpenAPI and the page's types like everything else."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from opd.api.base import ApiModel
from opd.events import StoredEvent
from opd.store.runs import RunState


class StateFrame(ApiModel):
    """On connect, and whenever the derived state changes."""

    type: Literal["state"]
    run_id: str
    state: RunState


class EventsFrame(ApiModel):
    """Events after the cursor, in order."""

    type: Literal["events"]
    items: list[StoredEvent]


class CaughtUpFrame(ApiModel):
    """Once, when the replay has reached the end of the log."""

    type: Literal["caught_up"]
    seq: int


StreamFrame = Annotated[StateFrame | EventsFrame | CaughtUpFrame, Field(discriminator="type")]
