"""The process that answers in the playground: one for a studio, a child that ends with it.

Unlike a run it is of no use without a page: its standard input is a rope, and when the studio lets go of it (closed,
killed, or another conversation is opened) it ends. It ends by itself when nobody has asked anything for a while.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
import threading
from dataclasses import dataclass

from opd.errors import NotFoundError
from opd.processes import spawn_detached
from opd.store.chats import ChatRecord, read_chat, write_chat
from opd.store.runs import RunFolder

PLAYGROUND = ("-P", "-m", "opd.serving.playground")
IDLE_S = 600.0
_PATIENCE_S = 5.0


@dataclass(frozen=True)
class Line:
    """How to reach the models of an open conversation."""

    address: str
    token: str


@dataclass
class _Held:
    run: RunFolder
    child: subprocess.Popen[bytes]
    token: str


class Chats:
    """At most one conversation at a time: its models fill the memory that the next one needs.

    Args:
        idle_s: seconds without a question after which the models are let go.
    """

    def __init__(self, idle_s: float = IDLE_S):
        self.idle_s = idle_s
        self._lock = threading.Lock()
        self._held: _Held | None = None

    def open(self, run: RunFolder) -> ChatRecord:
        """Begin to load a run's models; an open conversation with it is kept, one with another run is closed.

        Raises:
            NotFoundError: the run has no finished student.
            StorageError: the process could not be started.
        """
        with self._lock:
            if self._is_open(run):
                return read_chat(run) or ChatRecord()
            if not (run.best_path / "config.json").is_file():
                raise NotFoundError(
                    f"Run {run.run_id} has no finished student to talk to.",
                    hint="Wait for its end, or resume it and choose Stop and save.",
                )
            self._end()
            token = secrets.token_urlsafe(32)
            child = spawn_detached(
                [*PLAYGROUND, str(run.path)],
                log=run.path / "chat.log",
                folder=run.path,
                whose="conversation",
                stdin=subprocess.PIPE,
            )
            record = ChatRecord()
            write_chat(run, record, pid=child.pid)
            assert child.stdin is not None  # noqa: S101 - opened as a pipe
            with contextlib.suppress(BrokenPipeError):
                child.stdin.write(json.dumps({"token": token, "idle_s": self.idle_s}).encode() + b"\n")
                child.stdin.flush()
            threading.Thread(target=child.wait, daemon=True, name=f"chat-{run.run_id}").start()
            self._held = _Held(run, child, token)
            return record

    def line(self, run: RunFolder) -> Line:
        """The way to an open conversation.

        Raises:
            NotFoundError: none is open with this run.
        """
        with self._lock:
            record = read_chat(run) if self._is_open(run) else None
            if self._held is None or record is None or record.port is None or record.end is not None:
                raise NotFoundError(
                    f"No conversation with run {run.run_id} is open.", hint="Open it, and ask when a model is loaded."
                )
            return Line(f"http://127.0.0.1:{record.port}", self._held.token)

    def close(self, run_id: str | None = None) -> None:
        """End the conversation, if it is with this run (None: whichever it is with)."""
        with self._lock:
            if self._held is not None and run_id in (None, self._held.run.run_id):
                self._end()

    def _is_open(self, run: RunFolder) -> bool:
        held = self._held
        return held is not None and held.run.run_id == run.run_id and held.child.poll() is None

    def _end(self) -> None:
        held, self._held = self._held, None
        if held is None:
            return
        assert held.child.stdin is not None  # noqa: S101 - opened as a pipe
        with contextlib.suppress(OSError):
            held.child.stdin.close()
        try:
            held.child.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            held.child.kill()
            held.child.wait()
