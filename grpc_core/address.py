"""The address that the server listens on.

Rule: an address is bound once before grpc is asked for it, because grpc writes the reason of a failure
only to its own log.
"""

import errno
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc.aio


class ListenError(Exception):
    """The server cannot listen on an address; the text says which and why, and what to set instead."""


def listen(
    server: grpc.aio.Server,
    host: str,
    port: int,
    credentials: Any = None,
    *,
    reserved: bool = False,
) -> str:
    """Adds a listening address to a server; returns it with the bound port.

    Args:
        server: A server that has not been started.
        host: A name or an IP address, IPv6 with or without brackets.
        port: A TCP port; 0 picks a free one.
        credentials: Server credentials; None: no TLS.
        reserved: Whether `reserve` holds the address for this server.

    Raises:
        ListenError: The address is in use, not permitted, or not local.
    """
    address = shown(host, port)
    try:
        if not reserved:
            with ExitStack() as probes:
                _bind(host, port, probes)
        if credentials is None:
            bound = server.add_insecure_port(address)
        else:
            bound = server.add_secure_port(address, credentials)
    except OSError as error:
        raise ListenError(f"cannot listen on {address}: {_reason(error)}") from None
    except RuntimeError:
        raise ListenError(f"cannot listen on {address}") from None
    return shown(host, bound)


def allow_many_files() -> None:
    """Raises the limit of open files to the hard limit; the usual soft limit is 1,024."""
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))


@contextmanager
def reserve(host: str, port: int) -> Iterator[int]:
    """Binds an address, without listening, for servers that share it; the block gets the port.

    Raises:
        ListenError: The address is in use, not permitted, or not local.
    """
    with ExitStack() as stack:
        try:
            # without SO_REUSEPORT, which would succeed on a port that others share
            sockets = _bind(host, port, stack, one_port=True)
        except OSError as error:
            raise ListenError(f"cannot listen on {shown(host, port)}: {_reason(error)}") from None
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)  # or others could bind too
        yield sockets[0].getsockname()[1]


@contextmanager
def listen_tcp(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Listens on an address without gRPC; the block gets the sockets, which close with it.

    Raises:
        ListenError: The address is in use, not permitted, or not local.
    """
    with ExitStack() as stack:
        try:
            sockets = _bind(host, port, stack, one_port=True)
            for each in sockets:
                each.listen()
        except OSError as error:
            raise ListenError(f"cannot listen on {shown(host, port)}: {_reason(error)}") from None
        yield sockets


def _reason(error: OSError) -> str:
    """Returns why, and what to set instead."""
    if isinstance(error, socket.gaierror):
        return (
            "the host does not resolve; set host to an address of this machine, such as 127.0.0.1"
        )
    advice = {
        errno.EADDRINUSE: "stop what listens there, or set another port (0: a free one)",
        errno.EADDRNOTAVAIL: "set host to an address of this machine, or to 0.0.0.0 for all",
        errno.EACCES: "set a port from 1024 on, or run with CAP_NET_BIND_SERVICE",
    }.get(error.errno or 0)
    return f"{error.strerror}; {advice}" if advice else str(error.strerror)


def shown(host: str, port: int) -> str:
    """Formats an address: IPv6 in brackets."""
    bare = host.removeprefix("[").removesuffix("]")
    return f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"


def _bind(host: str, port: int, bound: ExitStack, *, one_port: bool = False) -> list[socket.socket]:
    """Binds every address of a host; with `one_port` to the same port, even if that was chosen (port 0).

    Like grpc it ignores addresses that this machine lacks, unless it lacks all: `localhost` may resolve to an
    IPv6 address on a machine without IPv6.
    """
    absent: list[OSError] = []
    sockets: list[socket.socket] = []
    bare = host.removeprefix("[").removesuffix("]")
    candidates = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in candidates:
        try:
            each = bound.enter_context(socket.socket(family, kind, protocol))
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.bind((address[0], port, *address[2:]))
            sockets.append(each)
            port = each.getsockname()[1] if one_port else port
        except OSError as error:
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                raise
            absent.append(error)
    if not sockets:
        raise absent[0]
    return sockets
