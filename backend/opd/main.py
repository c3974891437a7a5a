"""The studio's server: one per data folder, on loopback unless told otherwise.

`create_app` puts a studio behind the API and the guard before it. `StudioServer` owns the folder's lock, the socket
and the server's thread. Nothing here loads a training package: runs are processes of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import uvicorn
from fastapi import FastAPI
from filelock import FileLock, Timeout

from opd.api.access import Access, read_token
from opd.api.app import build_api
from opd.api.deps import Studio
from opd.api.guard import Guard
from opd.api.static import page_route, ui_dir
from opd.api.stream import CuttingWebSocket
from opd.api.watch import Watchers
from opd.end_request import EndRequest
from opd.errors import BusyError, InputError, OPDError, StorageError
from opd.jobs import Jobs
from opd.keys import Keys
from opd.presets import example_data
from opd.store.datasets import Datasets
from opd.store.files import read_json, write_json
from opd.store.runs import RunStore
from opd.store.studio import StudioDb

DEFAULT_PORT = 8420
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_PORTS_TRIED = 20
_START_TIMEOUT_S = 30.0
_QUEUE_EVERY_S = 1.0
_LOOK_EVERY_S = 0.1
_log = logging.getLogger("opd")


def create_app(
    data_dir: Path,
    port: int,
    token: str,
    *,
    boot: str | None = None,
    hosts: Sequence[str] = (),
    pages: Path | None = None,
) -> Guard:
    """The complete application: guard, API, page.

    Args:
        port: part of the addresses that the guard accepts.
        boot: names this server process in one-use codes; None makes one up.
        hosts: further names (without port) under which the server may be addressed.
        pages: folder of the built user interface; None takes the package's.

    Raises:
        StorageError: the studio's database cannot be used.
    """
    store = RunStore(data_dir)
    db = StudioDb(data_dir / "studio.db")
    keys = Keys(data_dir)
    studio = Studio(
        data_dir=data_dir,
        access=Access(token, port, boot or secrets.token_hex(8)),
        store=store,
        db=db,
        keys=keys,
        jobs=Jobs(store, keys, db),
        datasets=Datasets(db, data_dir / "datasets", example_data()),
        watchers=Watchers(store),
    )
    api = build_api()
    api.state.studio = studio
    api.router.lifespan_context = _lifespan(studio)
    api.router.routes.append(page_route(pages or ui_dir()))
    names = [*sorted(LOOPBACK), *hosts]
    return Guard(api, studio.access, [f"{f'[{name}]' if ':' in name else name}:{port}" for name in names])


def _lifespan(studio: Studio):  # type: ignore[no-untyped-def]  # Starlette's own type for it is private
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        closing = asyncio.Event()
        queue = asyncio.create_task(_serve_queue(studio.jobs, closing), name="queue")
        yield
        closing.set()
        await queue
        studio.chats.close()
        studio.db.close()

    return lifespan


async def _serve_queue(jobs: Jobs, closing: asyncio.Event) -> None:
    """Start queued runs when their device is free, until the studio closes; the next studio goes on."""
    while not closing.is_set():
        try:
            await asyncio.to_thread(jobs.start_queued)
        except OPDError as error:
            _log.error("The queue could not be served: %s", error)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(closing.wait(), _QUEUE_EVERY_S)


class StudioServer:
    """A running studio, as a context manager: it answers from entering to leaving; `wait()` stays until Ctrl-C.

    Args:
        port: None takes the default port or the next free one; a number takes that one or fails.
        host: another address than loopback needs `expose` and a token of your own.

    Raises (on entering):
        BusyError: another studio holds the data folder; the message has its process and a fresh address.
        InputError: the port is taken, or the host is not loopback and not allowed.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        host: str = "127.0.0.1",
        expose: bool = False,
        token: str | None = None,
    ):
        if host not in LOOPBACK and not (expose and token):
            raise InputError(
                f"{host or 'An empty host'} can be reached from other machines.",
                hint="The studio listens on 127.0.0.1. For anything else add --expose and --token-file with a token "
                "of at least 32 characters; whoever has it can use this machine.",
            )
        if token is not None and len(token) < 32:
            raise InputError("The token is too short: expected at least 32 characters.", hint="Make a random one.")
        self.data_dir = data_dir
        self.port = 0
        self._asked_port, self._host, self._token = port, host, token
        self._boot = secrets.token_hex(8)
        self._lock = FileLock(data_dir / "studio.lock")
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._access: Access | None = None

    def __enter__(self) -> Self:
        """Start in a thread of its own and return when the server answers."""
        server, listener = self._prepare()
        self._thread = threading.Thread(target=server.run, args=([listener],), daemon=True, name="studio")
        self._thread.start()
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.close()
                raise StorageError("The studio's server did not start.", hint="Its messages above say why.")
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wait(self, end: EndRequest) -> None:
        """Serve until somebody asks for the end; for the main thread, inside the `with`."""
        assert self._thread is not None  # noqa: S101 - entered
        while self._thread.is_alive() and not end.asked:
            time.sleep(_LOOK_EVERY_S)

    def close(self) -> None:
        """Stop serving and give the folder back. Runs go on."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_START_TIMEOUT_S)
        self._lock.release()

    @property
    def url(self) -> str:
        """Address without a code."""
        name = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{'127.0.0.1' if name in ('0.0.0.0', '[::]') else name}:{self.port}/"  # noqa: S104

    def new_url(self) -> str:
        """Address with a fresh one-use code."""
        assert self._access is not None  # noqa: S101 - set by _prepare
        return f"{self.url}?code={self._access.new_code()}"

    @property
    def token(self) -> str:
        """The data folder's token, for this machine's command line."""
        return self._token or read_token(self.data_dir)

    def _prepare(self) -> tuple[uvicorn.Server, socket.socket]:
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._take_folder()
        try:
            listener = listen(self._host, self._asked_port)
            self.port = int(listener.getsockname()[1])
            self._access = Access(self.token, self.port, self._boot)
            app = create_app(self.data_dir, self.port, self.token, boot=self._boot, hosts=_further_names(self._host))
            owner = {"pid": os.getpid(), "port": self.port, "url": self.url, "boot": self._boot}
            write_json(self.data_dir / "studio.json", owner)
        except BaseException:
            self._lock.release()
            raise
        self._server = uvicorn.Server(_server_config(app))
        return self._server, listener

    def _take_folder(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise _already_running(self.data_dir) from None


def _already_running(data_dir: Path) -> BusyError:
    owner = read_json(data_dir / "studio.json") or {}
    pid, port, boot = owner.get("pid"), owner.get("port"), owner.get("boot")
    url = f"{owner.get('url', 'an unknown address')}"
    if port and boot:
        url = f"{url}?code={Access(read_token(data_dir), int(port), str(boot)).new_code()}"
    return BusyError(
        f"A studio of this data folder runs already: process {pid or 'unknown'}, {url}",
        hint="Open that address, or stop that process, or give another folder with OPD_DATA_DIR.",
        details={"pid": pid, "url": owner.get("url"), "data_dir": str(data_dir)},
    )


def listen(host: str, port: int | None) -> socket.socket:
    """A listening socket on `port`; without one on the default port, else the next free one.

    Raises:
        InputError: the port that was asked for is taken, or the host is not one of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    wanted = [port] if port is not None else [*range(DEFAULT_PORT, DEFAULT_PORT + _PORTS_TRIED), 0]
    reason = ""
    for number in wanted:
        listener = socket.socket(family, socket.SOCK_STREAM)
        if os.name != "nt":  # there it would let two programs share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, number))
            listener.listen(128)
        except (OSError, OverflowError) as error:
            listener.close()
            reason = getattr(error, "strerror", None) or str(error)
            continue
        return listener
    raise InputError(
        f"The studio cannot listen on {host}:{port}: {reason}.",
        hint="Leave out --port for the next free one, or stop the program that uses it.",
        details={"host": host, "port": port},
    )


def _further_names(host: str) -> list[str]:
    """Names beside loopback under which an exposed studio may be addressed."""
    if host in LOOPBACK:
        return []
    if host not in ("0.0.0.0", "::"):  # noqa: S104 - asked for with --expose
        return [host]
    addresses = [item.address.partition("%")[0] for items in psutil.net_if_addrs().values() for item in items]
    return sorted({socket.gethostname(), *(name for name in addresses if "." in name or name.count(":") > 1)})


def _server_config(app: Guard) -> uvicorn.Config:
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # addresses hold one-use codes
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=3,
        ws=CuttingWebSocket,
        ws_max_size=64 * 1024,
        ws_per_message_deflate=False,
    )
