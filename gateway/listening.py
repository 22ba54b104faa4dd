"""The socket that is listened on, and what the system is asked for beside it.

A client that is there no more says nothing; only what it was sent and has not acknowledged tells. Options
that are set here hold for every connection that the socket accepts (tcp(7)).
"""

from __future__ import annotations

import os
import resource
import socket
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
    host, port = settings.host, settings.port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ListenError(f"cannot listen on {host}:{port}: {reason}") from error
    _cut_the_dead(listening, settings.send_timeout_seconds)
    return listening


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
