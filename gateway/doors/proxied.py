"""Reads the header of the PROXY protocol from a connection, before there is a transport.

Not a byte behind the header is read, so TLS or HTTP starts where it would without one.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass

from gateway.doors.proxy_protocol import (
    MAX_BYTES,
    ProxiedEnds,
    ProxyHeaderError,
    parse_proxy_header,
)


@dataclass(frozen=True, slots=True)
class ProxyProtocol:
    """That each connection starts with a header."""

    trusts: Callable[[str], bool]
    """Whether a peer may send one, by its address; it is empty for a Unix socket."""
    timeout: float
    """Seconds that the header may take."""


async def read_proxied_ends(connection: socket.socket, seconds: float) -> ProxiedEnds | None:
    """Reads the header of a connection; returns the ends that it tells, if it does.

    Args:
        connection: a socket that does not block, of which nothing was read.
        seconds: that the header may take.

    Raises:
        ProxyHeaderError: there is none, it is wrong, or it did not come in time.
        OSError: the connection has failed.
    """
    read = b""
    try:
        async with asyncio.timeout(seconds):
            while True:
                await _readable(connection)
                try:
                    seen = connection.recv(MAX_BYTES - len(read), socket.MSG_PEEK)
                except (BlockingIOError, InterruptedError):
                    continue
                if not seen and not read:  # as the health check of a load balancer
                    raise ConnectionResetError
                if not seen:
                    raise ProxyHeaderError("the connection has ended before its PROXY header")
                header = parse_proxy_header(read + seen)
                taken = len(seen) if header is None else header.size - len(read)
                read += connection.recv(taken)
                if header is not None and len(read) == header.size:
                    return header.ends
    except TimeoutError:
        raise ProxyHeaderError(f"no PROXY header came within {seconds:g} seconds") from None


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    readable = loop.create_future()
    loop.add_reader(connection.fileno(), _set, readable)
    try:
        await readable
    finally:
        loop.remove_reader(connection.fileno())


def _set(readable: asyncio.Future[None]) -> None:
    if not readable.done():
        readable.set_result(None)
