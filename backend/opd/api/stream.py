"""The live stream: `WS /api/opd/ws?run_id=&after=SEQ` replays a run's log from a cursor and then follows it.

Frames are JSON text, shaped as in `frames.py`:
    {"type": "state", "run_id", "state"}          on connect and on every change of the derived state
    {"type": "events", "items": [{"seq", "time", "event"}, ...]}
    {"type": "caught_up", "seq"}                  once, when the replay has reached the end of the log
There is no queue for a client: each pulls from the log by its own cursor, so a slow one reads later and a frozen one
costs one frame until its time is up. Event bodies go out as they are stored, unparsed.

Close codes: 4404 there is no such run (any more), 4416 the cursor is ahead of the log, 4408 the client did not read,
4500 the log is damaged; GET /api/opd/events says how.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Sequence

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from opd.api.deps import get_studio
from opd.api.watch import Watcher
from opd.errors import NotFoundError, StorageError

router = APIRouter()

MAX_FRAME_EVENTS = 500
MAX_FRAME_CHARS = 256 * 1024
SEND_TIMEOUT_S = 10.0
_ABORT_AFTER_S = 5.0

NO_SUCH_RUN = 4404
NOT_READING = 4408
CURSOR_AHEAD = 4416
LOG_UNREADABLE = 4500


@router.websocket("/api/opd/ws")
async def stream_run(socket: WebSocket, run_id: str, after: int = 0) -> None:
    """Send a run's events after `after`, then whatever is added, until the client leaves."""
    await socket.accept()
    try:
        async with get_studio(socket).watchers.follow(run_id) as watcher:
            code = await _while_listening(socket, _follow(socket, watcher, after))
    except NotFoundError:
        code = NO_SUCH_RUN
    except StorageError:
        code = LOG_UNREADABLE
    if code is not None:
        await _close(socket, code)


async def _follow(socket: WebSocket, watcher: Watcher, after: int) -> int:
    """Send until the run is gone; the close code comes back."""
    cursor, sent_state, caught_up = max(0, after), None, False
    if cursor > watcher.last_seq():
        return CURSOR_AHEAD
    while True:
        version, state = watcher.version, watcher.state
        if sent_state is None:
            await _send(socket, _state_frame(watcher.run.run_id, state))
            sent_state = state
        while rows := _cut(watcher.read(cursor, MAX_FRAME_EVENTS)):
            await _send(socket, events_frame(rows))
            cursor = rows[-1][0]
        if not caught_up:
            await _send(socket, json.dumps({"type": "caught_up", "seq": cursor}))
            caught_up = True
        if watcher.is_gone:
            return NO_SUCH_RUN
        if state != sent_state:
            await _send(socket, _state_frame(watcher.run.run_id, state))
            sent_state = state
        await watcher.wait(version)


async def _while_listening(socket: WebSocket, sending: Coroutine[None, None, int]) -> int | None:
    """Run the sender until it ends or the client leaves; None when there is nobody left to close."""
    sender = asyncio.create_task(sending)
    leaver = asyncio.create_task(_until_left(socket))
    try:
        await asyncio.wait({sender, leaver}, return_when=asyncio.FIRST_COMPLETED)
        if not sender.done():
            return None
        return sender.result()
    except TimeoutError:
        return NOT_READING
    except WebSocketDisconnect:
        return None
    finally:
        for task in (sender, leaver):
            task.cancel()
        await asyncio.gather(sender, leaver, return_exceptions=True)


async def _until_left(socket: WebSocket) -> None:
    """Whatever a client says is ignored; that it leaves is not."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def _send(socket: WebSocket, text: str) -> None:
    async with asyncio.timeout(SEND_TIMEOUT_S):
        await socket.send_text(text)


async def _close(socket: WebSocket, code: int) -> None:
    try:
        async with asyncio.timeout(1.0):
            await socket.close(code)
    except (TimeoutError, RuntimeError, WebSocketDisconnect):
        pass  # frozen or gone: the protocol cuts the line


def events_frame(rows: Sequence[tuple[int, float, str]]) -> str:
    """One frame of events from rows of (seq, time, JSON text)."""
    items = ",".join(f'{{"seq":{seq},"time":{when!r},"event":{body}}}' for seq, when, body in rows)
    return f'{{"type":"events","items":[{items}]}}'


def _state_frame(run_id: str, state: str) -> str:
    return json.dumps({"type": "state", "run_id": run_id, "state": state})


def _cut(rows: list[tuple[int, float, str]]) -> list[tuple[int, float, str]]:
    """As many rows as one frame takes; at least one."""
    size = 0
    for index, (_, _, body) in enumerate(rows):
        size += len(body)
        if size > MAX_FRAME_CHARS and index > 0:
            return rows[:index]
    return rows


class CuttingWebSocket(WebSocketsSansIOProtocol):
    """Uvicorn's WebSocket, which cuts the line of a client that does not read its goodbye either.

    The original waits for the last bytes to be read, for a frozen client for ever, and keeps them in memory.
    """

    async def run_asgi(self) -> None:
        await super().run_asgi()
        self.loop.call_later(_ABORT_AFTER_S, self.transport.abort)
