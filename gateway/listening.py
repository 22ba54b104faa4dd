"""The sockets that are listened on, and what the system is asked for beside it.

A client that is there no more says nothing; only what it was sent and has not acknowledged tells. Options
that are set here hold for every connection that the socket accepts (tcp(7)).
"""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from gateway.settings import Settings

_BACKLOG: Final = 2048
_PROBE_SECONDS: Final = 10
"""After so long without anything either way the system asks whether the client is there."""


class ListenError(Exception):
    """The address cannot be had."""


def listen(settings: Settings) -> socket.socket:
    """Returns a listening socket.

    Raises:
        ListenError: the address cannot be had.
    """
    with _refusals(settings):
        return _create_server(settings, settings.port)


def listen_for_workers(settings: Settings) -> list[socket.socket]:
    """Returns a listening socket for each worker; the system spreads connections evenly among them.

    Raises:
        ListenError: the address cannot be had.
    """
    with _refusals(settings), socket.socket(_family(settings)) as reserved:
        # nobody's but this one at first: else a port that others share would pass for a free one
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
    _cut_the_dead(listening, settings.send_timeout_seconds)
    return listening


def _family(settings: Settings) -> socket.AddressFamily:
    return socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]


@contextmanager
def _refusals(settings: Settings) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ListenError(f"cannot listen on {settings.host}:{settings.port}: {reason}") from error


def _cut_the_dead(listening: socket.socket, seconds: float) -> None:
    """Has connections cut whose client takes nothing for so long, where the system can do that."""
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
    """Allows as many connections as this process may have; the usual soft limit is 1,024 files."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
