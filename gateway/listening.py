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
from contextlib import ExitStack, contextmanager
from typing import Final

from gateway.settings import Settings
from server_process.systemd import handed_over

_BACKLOG: Final = 2048
_UNIX: Final = "unix:"
_DESCRIPTOR: Final = "fd:"
_SYSTEMD: Final = "systemd"
_PROBE_SECONDS: Final = 10
"""Idle time after which the system sends a keepalive probe."""


class ListenError(Exception):
    """The address cannot be listened on; the text says why, and what to set instead."""


def listen(settings: Settings) -> list[socket.socket]:
    """Returns a listening socket for each address of `host`, in their order.

    Raises:
        ListenError: an address is taken, not allowed, or not one of this machine.
    """
    return listen_for_workers(settings, 1)[0]


def listen_for_workers(settings: Settings, workers: int) -> list[list[socket.socket]]:
    """Returns the listening sockets of each worker; the system spreads connections evenly among them.

    Unix sockets, and those that were handed over, are shared by all workers.

    Raises:
        ListenError: an address is taken, not allowed, or not one of this machine.
    """
    return _listen(settings.host, settings.port, workers, settings.send_timeout_seconds)


def listen_for_admin(settings: Settings) -> list[list[socket.socket]]:
    """Returns the listening sockets of each worker for the admin listener; none if it is off.

    All workers share them, so a connection waits for no worker that hangs or is being replaced.

    Raises:
        ListenError: an address is taken, not allowed, or not one of this machine.
    """
    port = settings.admin_port
    if port is None:
        return []
    (opened,) = _listen(settings.admin_host, port, 1, settings.send_timeout_seconds)
    each = [_shared(one, settings.workers) for one in opened]
    return [[one for (one,) in worker] for worker in zip(*each, strict=True)]


def _listen(host: str, port: int, workers: int, send_timeout: float) -> list[list[socket.socket]]:
    with ExitStack() as undo:
        sockets: list[list[socket.socket]] = [[] for _ in range(workers)]
        for name in (part.strip() for part in host.split(",")):
            with _refusals(name, port):
                opened = _open(name, port, workers)
            for worker, listening in zip(sockets, opened, strict=True):
                worker.extend(listening)
                for each in listening:
                    undo.enter_context(each)
                    _set_timeouts(each, send_timeout)
            port = port or _port_of(opened[0])
        undo.pop_all()
    return sockets


def _open(name: str, port: int, workers: int) -> list[list[socket.socket]]:
    """Returns the sockets of one part of `host`, for each worker."""
    if name.startswith(_UNIX):
        return _shared(_unix_socket(name.removeprefix(_UNIX)), workers)
    if name == _SYSTEMD:
        each = [_shared(_handed_over(str(number)), workers) for number in handed_over()]
        if not each:
            raise ListenError(
                "cannot listen: host is systemd, which has handed over no socket (LISTEN_FDS);"
                " enable the .socket unit"
            )
        return [[one for (one,) in worker] for worker in zip(*each, strict=True)]
    if name.startswith(_DESCRIPTOR):
        return _shared(_handed_over(name.removeprefix(_DESCRIPTOR)), workers)
    opened: list[list[socket.socket]] = [[] for _ in range(workers)]
    for family, address in _addresses(name, port):
        with socket.socket(family) as reserved:
            if workers > 1:
                _reserve(reserved, family, (address, port))
                port = reserved.getsockname()[1]
            for worker in opened:
                listening = socket.create_server(
                    (address, port), family=family, backlog=_BACKLOG, reuse_port=workers > 1
                )
                port = listening.getsockname()[1]
                worker.append(listening)
    return opened


def _reserve(reserved: socket.socket, family: socket.AddressFamily, where: tuple[str, int]) -> None:
    """Takes a port; without SO_REUSEPORT at first: with it, one that another program shares looks free."""
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        reserved.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    reserved.bind(where)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def _addresses(name: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    """Returns the addresses of a host; `::` is every address of both families."""
    found: dict[tuple[socket.AddressFamily, str], None] = {
        (family, str(address[0])): None
        for family, _, _, _, address in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    }
    if name == "::":
        found[socket.AF_INET, "0.0.0.0"] = None  # noqa: S104 - it is what was asked for
    if not socket.has_dualstack_ipv6():
        found = dict.fromkeys(each for each in found if each[0] is socket.AF_INET) or found
    return list(found)


def _unix_socket(path: str) -> socket.socket:
    """Listens on a path; a socket that nobody listens on any more is replaced."""
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
        else:
            raise OSError(errno.EADDRINUSE, "")
    with ExitStack() as undo:
        listening = undo.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(path)
        listening.listen(_BACKLOG)
        undo.pop_all()
    return listening


def _handed_over(number: str) -> socket.socket:
    """Returns the listening socket that whoever has started this process has opened."""
    if not number.isdecimal():
        raise OSError(errno.EBADF, "")
    listening = socket.socket(fileno=int(number))
    if not listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listening.detach()
        raise OSError(errno.ENOTSOCK, "")
    return listening


def _shared(listening: socket.socket, workers: int) -> list[list[socket.socket]]:
    return [[listening], *([listening.dup()] for _ in range(workers - 1))]


def _port_of(sockets: list[socket.socket]) -> int:
    """Returns the port that the system has chosen, so that all addresses have it."""
    ports = [each.getsockname()[1] for each in sockets if each.family != socket.AF_UNIX]
    return ports[0] if ports else 0


@contextmanager
def _refusals(name: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = (
            name
            if name.startswith((_UNIX, _DESCRIPTOR, _SYSTEMD))
            else f"{shown_host(name)}:{port}"
        )
        raise ListenError(f"cannot listen on {where}: {_reason(error)}") from error


def shown_host(host: str) -> str:
    """Returns a host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


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
        errno.EBADF: "the number is that of no open file; pass a listening socket",
        errno.ENOTSOCK: "the number is that of no listening socket",
    }.get(error.errno or 0)
    return f"{reason}; {advice}" if advice else reason


def _set_timeouts(listening: socket.socket, seconds: float) -> None:
    """Sets after how many seconds the system cuts a connection whose client acknowledges nothing."""
    if listening.family == socket.AF_UNIX:
        return
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
