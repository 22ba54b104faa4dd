"""The listening sockets, and the system's limits and timeouts that go with them.

A client that has vanished sends nothing; only unacknowledged data shows it. Options that are set on a
listening socket hold for every connection that it accepts (tcp(7)).
"""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from gateway.settings import Settings

_BACKLOG: Final = 2048
_PROBE_SECONDS: Final = 10
"""Idle time after which the system sends a keepalive probe."""


class ListenError(Exception):
    """The address cannot be listened on; the text says why, and what to set instead."""


def listen(settings: Settings) -> socket.socket:
    """Returns a listening socket.

    Raises:
        ListenError: the address is taken, not allowed, or not one of this machine.
    """
    with _refusals(settings):
        return _create_server(settings, settings.port)


def listen_for_workers(settings: Settings) -> list[socket.socket]:
    """Returns a listening socket for each worker; the system spreads connections evenly among them.

    Raises:
        ListenError: the address is taken, not allowed, or not one of this machine.
    """
    with _refusals(settings), socket.socket(_family(settings)) as reserved:
        # without SO_REUSEPORT at first: with it, a port that another program shares would look free
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reserved.family == socket.AF_INET6:
            reserved.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        reserved.bind((settings.host, settings.port))
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        port = reserved.getsockname()[1]
        return [_create_server(settings, port, shared=True) for _ in range(settings.workers)]


def _create_server(settings: Settings, port: int, *, shared: bool = False) -> socket.socket:
    listening = socket.create_server(
        (settings.host, port), family=_family(settings), backlog=_BACKLOG, reuse_port=shared
    )
    _set_timeouts(listening, settings.send_timeout_seconds)
    return listening


def _family(settings: Settings) -> socket.AddressFamily:
    return socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]


@contextmanager
def _refusals(settings: Settings) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        raise ListenError(f"cannot listen on {host}:{settings.port}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    """Returns why, and what to set instead."""
    if isinstance(error, socket.gaierror):
        return (
            "the host does not resolve; set host to an address of this machine, such as 127.0.0.1"
        )
    reason = os.strerror(error.errno) if error.errno else str(error)
    advice = {
        errno.EADDRINUSE: "stop what listens there, or set another port (0: a free one)",
        errno.EADDRNOTAVAIL: "set host to an address of this machine, or to 0.0.0.0 for all",
        errno.EACCES: "set a port from 1024 on, or run with CAP_NET_BIND_SERVICE",
    }.get(error.errno or 0)
    return f"{reason}; {advice}" if advice else reason


def _set_timeouts(listening: socket.socket, seconds: float) -> None:
    """Sets after how many seconds the system cuts a connection whose client acknowledges nothing."""
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _PROBE_SECONDS),
        ("TCP_KEEPINTVL", _PROBE_SECONDS),
        ("TCP_USER_TIMEOUT", round(seconds * 1000)),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            listening.setsockopt(socket.IPPROTO_TCP, option, value)


def allow_many_files() -> None:
    """Raises the limit of open files to the hard limit; the usual soft limit is 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
