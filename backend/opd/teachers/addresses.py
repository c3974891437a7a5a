"""Addresses of teachers: what may be one, and whose it is. No requests are made here."""

from __future__ import annotations

import functools
import ipaddress
import ssl
from urllib.parse import urlsplit

import httpx2

from opd.errors import ConfigError


def split_address(base_url: str) -> tuple[str, str]:
    """Origin and path of an address.

    Raises:
        ConfigError: not http(s), no host, or with parts that an address of an API does not have.
    """
    parts = urlsplit(base_url.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(
            "The teacher's base_url is no address of an API; expected something like http://127.0.0.1:8000/v1.",
            hint="Give scheme, host, port and path, without a query.",
        )
    if parts.username or parts.password:
        raise ConfigError(
            "teacher.base_url holds a user name or password; a configuration is no place for secrets.",
            hint="Remove them, and set the key with `opd keys set`.",
        )
    _refuse_link_local(parts.hostname)
    return f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")


@functools.cache
def tls_context(*, trust_env: bool) -> ssl.SSLContext:
    """One for all connections of a process: to read the system's certificates takes as long as a short request."""
    return httpx2.create_ssl_context(trust_env=trust_env)


def check_peer(response: httpx2.Response) -> None:
    """Refuse an answer from an address that `split_address` would refuse: a name may lead anywhere.

    Raises:
        ConfigError: it came from such an address.
    """
    stream = response.extensions.get("network_stream")
    peer = stream.get_extra_info("server_addr") if stream is not None else None
    if peer:
        _refuse_link_local(str(peer[0]).split("%")[0])


def is_loopback(origin: str) -> bool:
    """Whether an origin is this machine by its number or its own name."""
    host = urlsplit(origin).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_private(origin: str) -> bool:
    """Whether an origin is this machine or one of its own network, by its number or as `localhost`."""
    host = urlsplit(origin).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_private
    except ValueError:
        return False


def _refuse_link_local(host: str) -> None:
    """Addresses that only this machine's own cloud answers: they hand out credentials.

    Raises:
        ConfigError: it is one.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        raise ConfigError(
            f"The teacher's address {host} is link-local, multicast or unspecified; no teacher lives there.",
            hint="Give the address under which the server is reached.",
        )
