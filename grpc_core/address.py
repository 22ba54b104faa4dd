"""Where the server listens.

Rule: an address that cannot be had is an error that says why, before grpc is asked for it: grpc
tells the reason only to its own log.
"""

import errno
import resource
import socket

import grpc.aio


class ListenError(Exception):
    """An address on which the server cannot listen; its text says which and why."""


def listen(
    server: grpc.aio.Server,
    host: str,
    port: int,
    credentials: grpc.ServerCredentials | None = None,
) -> str:
    """Makes a server listen, and returns the address with the port that it got.

    Args:
        server: A server that has not been started.
        host: A name or an IP address, IPv6 with or without brackets.
        port: A TCP port; 0 picks a free one.
        credentials: What TLS needs; None is no TLS.

    Raises:
        ListenError: The address is taken, not allowed, or not of this machine.
    """
    bare = host.removeprefix("[").removesuffix("]")
    name = f"[{bare}]" if ":" in bare else bare
    try:
        _probe(bare, port)
        if credentials is None:
            bound = server.add_insecure_port(f"{name}:{port}")
        else:
            bound = server.add_secure_port(f"{name}:{port}", credentials)
    except OSError as error:
        raise ListenError(f"cannot listen on {name}:{port}: {error.strerror}") from None
    except RuntimeError:
        raise ListenError(f"cannot listen on {name}:{port}") from None
    return f"{name}:{bound}"


def allow_many_files() -> None:
    """Allows as many connections as this process may have; the usual soft limit is 1,024 files."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _probe(host: str, port: int) -> None:
    """Binds every address that `host` stands for, and lets go of it again.

    An address that this machine does not have is passed over, unless it has none of them: so does
    grpc, and `localhost` may name an IPv6 address where there is no IPv6.
    """
    absent: list[OSError] = []
    candidates = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in candidates:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                raise
            absent.append(error)
    if len(absent) == len(candidates):
        raise absent[0]
