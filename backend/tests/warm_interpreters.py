"""`python -m opd.pipeline` and its like, at work at once: each is a fork of the process that imported torch.

What a test, or a studio in a test, starts through `subprocess` as an interpreter with an ML package becomes a fork of
the warm process: with the arguments, environment, folder and pipes that were asked for, and with a process number that
is its own. Only the seconds of importing are missing. All other commands are started as ever.
"""

from __future__ import annotations

import contextlib
import functools
import json
import multiprocessing
import os
import runpy
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any, NoReturn

ADDRESS = "OPD_WARM_INTERPRETERS"
"""Environment variable: the socket at which forks are asked for. Who is started with it may ask."""

_MODULES = frozenset(
    {
        "opd.pipeline", "opd.export", "opd.serving.playground", "opd.teachers.probe_process", "opd.bench.worker",
        "opd.bench.methods.stock_gold",
    }
)  # fmt: skip
_COMMANDS = frozenset({"serve", "train"})  # of `python -m opd.cli`
NUMBER = struct.Struct("!i")


class WarmPopen(subprocess.Popen[Any]):
    """`subprocess.Popen` by which interpreters with ML packages are forked instead of started."""

    _line: socket.socket | None = None
    """Where the warm process tells how our child ended; None for a command that was started as ever."""

    def _execute_child(self, args: Any, *more: Any) -> None:
        module = _module_with_ml(args)
        if module is None:
            super()._execute_child(args, *more)  # type: ignore[misc]  # private, and so in no stub
            return
        self._asking = threading.Lock()
        self._line = socket.socket(socket.AF_UNIX)
        self._line.connect(address())
        fork_for(self, self._line, module, args, more)

    def poll(self) -> int | None:
        return super().poll() if self._line is None else self._end(0)

    def wait(self, timeout: float | None = None) -> int:
        if self._line is None:
            return super().wait(timeout)
        code = self._end(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def _end(self, timeout_s: float | None) -> int | None:
        """The exit code, as the warm process tells it; None: not within the timeout, or another thread waits for it."""
        if self.returncode is None and self._asking.acquire(timeout=-1 if timeout_s is None else timeout_s):
            try:
                if self.returncode is None and self._line is not None:
                    self._line.settimeout(timeout_s)
                    told = self._line.recv(NUMBER.size)
                    self._line.close()
                    # Nothing: the warm process is gone, and its forks with it.
                    self.returncode = os.waitstatus_to_exitcode(NUMBER.unpack(told)[0]) if told else -signal.SIGKILL
            except (BlockingIOError, TimeoutError):
                pass
            finally:
                self._asking.release()
        return self.returncode


def fork_for(asking: subprocess.Popen[Any], line: socket.socket, module: str, args: Any, more: tuple[Any, ...]) -> None:
    """What `_execute_child` does for a command that is started, for one that is forked at the other end of the line."""
    asking.pid = send_request(line, module, args, more)
    asking._child_created = True  # type: ignore[attr-defined]  # private, and so in no stub
    asking._close_pipe_fds(*more[9:15])  # type: ignore[attr-defined]  # private, and so in no stub


def send_request(line: socket.socket, module: str, args: Any, more: tuple[Any, ...]) -> int:
    """Ask for a fork; its process number comes back when everything is as it was asked for.

    Args:
        more: what CPython 3.11 to 3.13 hands to `_execute_child` after `args`: executable, preexec_fn, close_fds,
            pass_fds, cwd, env, startupinfo, creationflags, shell, six ends of pipes, restore_signals, gid, gids, uid,
            umask, start_new_session, process_group.
    """
    cwd, env, ends, session = more[4], more[5], more[9:15], more[20]
    request = {
        "module": module,
        "arguments": [str(part) for part in args[args.index(module) + 1 :]],
        "cwd": str(cwd or Path.cwd()),
        "environment": dict(os.environ if env is None else env),
        "session": session,
    }
    given = [standard if end == -1 else end for standard, end in enumerate((ends[0], ends[3], ends[5]))]
    socket.send_fds(line, [b"!"], given)
    line.sendall(json.dumps(request).encode() + b"\n")
    number: int = NUMBER.unpack(line.recv(NUMBER.size))[0]
    return number


def read_request(line: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """The other side of `send_request`: what is to run, and its standard streams; None if nobody asks any more."""
    told, ends, *_ = socket.recv_fds(line, 1, 3)
    if not told:
        return None, []
    with line.makefile("rb") as reader:
        return json.loads(reader.readline()), ends


def _module_with_ml(args: Any) -> str | None:
    """The module to run, of a command that is `[this interpreter, (-P,) -m, module, …]` and would import torch."""
    if isinstance(args, str | bytes | os.PathLike) or str(args[0]) != sys.executable:
        return None
    arguments = [str(part) for part in args[1:] if part != "-P"]
    if arguments[:1] != ["-m"]:
        return None
    module, *rest = arguments[1:]
    with_ml = module in _MODULES or (module == "opd.cli" and rest[:1] and rest[0] in _COMMANDS)
    return module if with_ml else None


def address() -> str:
    """Where forks are asked for: at the warm process of whoever started us, else at our own."""
    return os.environ.get(ADDRESS) or _own_address()


@functools.cache
def _own_address() -> str:
    from run_processes import CONTEXT, start_server

    start_server()
    path = str(Path(tempfile.mkdtemp(prefix="opd-")) / "warm")  # short: a socket's path has 107 characters at most
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    CONTEXT.Process(target=_serve, args=(listener,), daemon=True).start()
    listener.close()
    return path


# --- inside the warm process ----------------------------------------------------------------------


def _serve(listener: socket.socket) -> None:
    """Fork whatever is asked for, and tell how each ended, until the process that wanted us here is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    ended_read, ended_write = os.pipe()
    os.set_blocking(ended_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(ended_write, warn_on_full_buffer=False)
    lines: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as selector:
        for source in (listener, ended_read, parent.sentinel):
            selector.register(source, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if parent.sentinel in ready:
                return
            if ended_read in ready:
                os.read(ended_read, 65536)
                _tell_who_ended(lines)
            if listener in ready:
                line, _ = listener.accept()
                request, ends = read_request(line)
                if request is None:
                    continue
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    for inherited in (listener, *lines.values()):
                        inherited.close()
                    become(request, ends, line)
                for end in ends:
                    os.close(end)
                lines[pid] = line


def _tell_who_ended(lines: dict[int, socket.socket]) -> None:
    while lines:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with lines.pop(pid) as line, contextlib.suppress(OSError):  # who asked may be gone: a run outlives its studio
            line.sendall(NUMBER.pack(status))


def become(request: dict[str, Any], ends: list[int], line: socket.socket) -> NoReturn:
    """Be the interpreter that was asked for, to its end; tell our number when everything is as it was asked for."""
    from nurse import keep_a_nurse

    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which the fork server ignores
        if request["session"]:
            os.setsid()
        for standard, end in enumerate(ends):
            os.dup2(end, standard)
            os.close(end)
        sys.stdin, sys.stdout, sys.stderr = (
            os.fdopen(standard, mode, buffering=1, closefd=False) for standard, mode in enumerate("rww")
        )
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["cwd"])
        sys.argv = [sys.executable, *request["arguments"]]
        with line:
            line.sendall(NUMBER.pack(os.getpid()))
        if request["module"] == "opd.pipeline":
            keep_a_nurse()
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  # what an interpreter does with whatever is left
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):  # nobody reads any more
                stream.flush()
        os._exit(code)


def _studio() -> NoReturn:
    """`python -m warm_interpreters studio …`: `opd`, whose runs are such forks."""
    from opd.cli import main

    subprocess.Popen = WarmPopen  # type: ignore[misc]  # the type is replaced, so that opd's code asks us
    main()
    raise AssertionError("the command line ends in an exit")


if __name__ == "__main__":
    _studio()
