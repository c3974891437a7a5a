"""The process behind the playground, `python -m opd.serving.playground RUN_DIR`: a run's models under one roof.

    /student/v1, /start/v1, /teacher/v1     each as `opd serve` gives it, once it is loaded

A JSON line on standard input brings the token that every request must carry, and after how long without a question to
end. Standard input is also a rope: when it closes, whoever asked for this process is gone, and it ends.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from opd.config import LocalTeacher, RunConfig
from opd.errors import OPDError
from opd.events import RunFailure
from opd.model_files import find_model
from opd.serving.app import create_serving_app
from opd.serving.errors import RefusedError
from opd.serving.loading import load_served
from opd.store.chats import ChatEnd, ChatRecord, Voice, Who, write_chat
from opd.store.runs import RunFolder

_log = logging.getLogger("opd")
_LOOK_EVERY_S = 0.5


class Playground:
    """The models of one run, each behind its own path; loads them one after the other, the trained one first."""

    def __init__(self, run: RunFolder, token: str, port: int):
        self.run, self._token, self._config = run, token, run.config()
        self._apps: dict[str, ASGIApp] = {}
        self._lock = threading.Lock()
        self._record = ChatRecord(port=port, voices=_voices(self._config))
        self._num_open = 0
        self._asked_time = time.monotonic()
        self._keep(self._record)

    @property
    def idle_s(self) -> float:
        """Seconds since something was last asked or answered, or a model became ready."""
        return 0.0 if self._num_open else time.monotonic() - self._asked_time

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the model that its path begins with."""
        who, _, rest = str(scope["path"]).removeprefix("/").partition("/")
        app = self._apps.get(who)
        if app is None:
            refusal = RefusedError(503, f"The model `{who}` is not loaded.", code="not_loaded")
            await refusal.as_response()(scope, receive, send)
            return
        with self._at_work():
            await app({**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode()}, receive, send)

    def load(self) -> None:
        """Load every model; one that cannot be loaded says why, and the others go on."""
        for voice in self._record.voices:
            self._tell(voice.who, "loading")
            try:
                with self._at_work():
                    served = load_served(
                        _folder(self.run, self._config, voice.who),
                        device=self._config.device,
                        dtype=_dtype(self._config, voice.who),
                    )
                    self._apps[voice.who] = create_serving_app(served, name=voice.who, token=self._token)
            except Exception as error:  # noqa: BLE001  # one model's failure is shown beside the others
                _log.exception("%s could not be loaded", voice.who)
                self._tell(voice.who, "failed", _failure(error))
            else:
                self._tell(voice.who, "ready")

    def end(self, why: ChatEnd) -> None:
        """Say that the conversation is over."""
        with self._lock:
            self._keep(self._record.model_copy(update={"end": why}))

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        self._num_open += 1
        try:
            yield
        finally:
            self._num_open -= 1
            self._asked_time = time.monotonic()

    def _tell(self, who: Who, state: str, error: RunFailure | None = None) -> None:
        with self._lock:
            voices = [
                voice.model_copy(update={"state": state, "error": error}) if voice.who == who else voice
                for voice in self._record.voices
            ]
            self._keep(self._record.model_copy(update={"voices": voices}))

    def _keep(self, record: ChatRecord) -> None:
        if self._record.end is None and self.run.path.is_dir():  # the run may be deleted meanwhile
            self._record = record
            write_chat(self.run, record)


def _voices(config: RunConfig) -> list[Voice]:
    """Those who can answer here; a teacher behind an API costs money and is not asked."""
    voices = [Voice(who="student", model="student"), Voice(who="start", model=config.student.model)]
    if isinstance(config.teacher, LocalTeacher):
        voices.append(Voice(who="teacher", model=config.teacher.model))
    return voices


def _folder(run: RunFolder, config: RunConfig, who: Who) -> Path:
    if who == "student":
        return run.best_path
    if who == "start":
        return find_model(config.student.model, revision=config.student.revision)
    assert isinstance(config.teacher, LocalTeacher)  # noqa: S101 - the only one that has a voice
    return find_model(config.teacher.model, revision=config.teacher.revision)


def _dtype(config: RunConfig, who: Who) -> str:
    own = config.teacher.dtype if who == "teacher" and isinstance(config.teacher, LocalTeacher) else "auto"
    return config.student.dtype if own == "auto" else own


def _failure(error: Exception) -> RunFailure:
    if isinstance(error, OPDError):
        return RunFailure(code=error.code, message=error.message, hint=error.hint)
    return RunFailure(
        code="model_not_loaded",
        message=f"The model could not be loaded: {type(error).__name__}.",
        hint="Free memory and open the conversation again; the run's chat.log says more.",
    )


def main(run: RunFolder) -> int:
    """Serve until the rope is let go or nobody asks any more."""
    asked = json.loads(sys.stdin.readline() or "{}")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(32)
        playground = Playground(run, asked["token"], listener.getsockname()[1])
        server = uvicorn.Server(
            uvicorn.Config(playground, lifespan="off", log_level="warning", timeout_graceful_shutdown=1)
        )

        def stop(why: ChatEnd) -> None:
            playground.end(why)
            server.should_exit = True

        def hold_the_rope() -> None:
            while sys.stdin.readline():
                pass
            stop("closed")

        def look_at_the_clock() -> None:
            while playground.idle_s < asked["idle_s"]:
                time.sleep(_LOOK_EVERY_S)
            stop("idle")

        for work in (playground.load, hold_the_rope, look_at_the_clock):
            threading.Thread(target=work, daemon=True, name=work.__name__).start()
        server.run(sockets=[listener])
    playground.end("closed")
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    sys.exit(main(RunFolder(Path(sys.argv[1]))))
