"""Read by every Python that starts with this folder on its path: notes who it is, and which other hosts it asks.

One line a start, one line for each name that is looked up and each address that is connected to outside this machine;
in the file of OPD_OUTGOING.
"""

from __future__ import annotations

import ipaddress
import os
import sys

_FILE = os.environ.get("OPD_OUTGOING", "")


def _note(text: str) -> None:
    with open(_FILE, "a", encoding="utf-8") as file:
        file.write(text + "\n")


def _is_here(host: str) -> bool:
    if host in {"", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    name = host.decode() if isinstance(host, bytes) else str(host or "")
    if not _is_here(name):
        _note(f"asked {name}: {' '.join(sys.orig_argv)}")


if _FILE:
    _note(f"began {' '.join(sys.orig_argv)}")
    sys.addaudithook(_watch)
