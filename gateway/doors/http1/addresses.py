"""The two ends of a connection, as ASGI names them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from gateway.doors.proxy_protocol import ProxiedEnds


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of a connection's ends."""

    client: tuple[str, int] | None
    """None over a Unix socket."""
    server: tuple[str, int | None] | None
    """The path of a Unix socket, and no port."""
    secure: bool
    """Whether it is over TLS."""


def addresses(transport: asyncio.BaseTransport, told: ProxiedEnds | None = None) -> Addresses:
    """Returns the addresses of a connection, or those that its PROXY header has told."""
    client, server = told or (transport.get_extra_info(name) for name in ("peername", "sockname"))
    return Addresses(
        client=(str(client[0]), int(client[1])) if isinstance(client, tuple) else None,
        server=_server(server),
        secure=transport.get_extra_info("sslcontext") is not None,
    )


def _server(name: object) -> tuple[str, int | None] | None:
    if isinstance(name, tuple):
        return str(name[0]), int(name[1])
    return (name, None) if isinstance(name, str) and name else None
