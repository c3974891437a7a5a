"""The child of a run that is itself a fork: `python -m opd.pipeline.beside`, forked as well, and truly the run's child.

A run in the middle of its work cannot be forked. So it is forked once before it begins; that fork, the nurse, waits for
the command, forks the child from its own untouched state and goes away, upon which the kernel makes the child the run's
own: the run waits for it, and the child sees whose it is and when its parent has died, as ever. Linux only; elsewhere
the child is started as ever.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import time
from typing import Any

from warm_interpreters import become, fork_for, read_request

_MODULE = "opd.pipeline.beside"
_PR_SET_CHILD_SUBREAPER = 36


def keep_a_nurse() -> None:
    """In a process that is about to be a run: have its one child forked when it asks for it."""
    if sys.platform != "linux" or ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        return
    ours, theirs = socket.socketpair()
    run = os.getpid()
    nurse = os.fork()
    if nurse == 0:
        ours.close()
        _wait_at_the_bedside(theirs, run)
    theirs.close()

    class Popen(subprocess.Popen[Any]):
        def _execute_child(self, args: Any, *more: Any) -> None:
            if _MODULE not in args or ours.fileno() == -1:
                super()._execute_child(args, *more)  # type: ignore[misc]  # private, and so in no stub
                return
            with ours:
                fork_for(self, ours, _MODULE, args, more)
            os.waitpid(nurse, 0)

    subprocess.Popen = Popen  # type: ignore[misc]  # the type is replaced, so that the run's code asks us


def _wait_at_the_bedside(line: socket.socket, run: int) -> None:
    request, ends = read_request(line)
    if request is None:  # the run has ended without it
        os._exit(0)
    nurse = os.getpid()
    if os.fork() != 0:
        os._exit(0)
    while os.getppid() == nurse:
        time.sleep(0.001)
    become(request, ends, line)
