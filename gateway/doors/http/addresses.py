"""The two ends of a connection, as ASGI names them, and the client's certificate."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from gateway.doors.peer_certificate import peer_certificate
from gateway.doors.proxy_protocol import ProxiedEnds
from gateway.exchange.client_certificate import ClientCertificate


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of a connection's ends."""

    client: tuple[str, int] | None
    """None over a Unix socket."""
    server: tuple[str, int | None] | None
    """The path of a Unix socket, and no port."""
    secure: bool
    """Whether it is over TLS."""
    certificate: ClientCertificate | None = None
    """The client's, verified; None if it has none."""


def addresses(transport: asyncio.BaseTransport, told: ProxiedEnds | None = None) -> Addresses:
    """Returns the addresses of a connection, or those that its PROXY header has told; a door asks once."""
    client, server = told or (transport.get_extra_info(name) for name in ("peername", "sockname"))
    return Addresses(
        client=(str(client[0]), int(client[1])) if isinstance(client, tuple) else None,
        server=_server(server),
        secure=transport.get_extra_info("sslcontext") is not None,
        certificate=peer_certificate(transport),
    )


def _server(name: object) -> tuple[str, int | None] | None:
    if isinstance(name, tuple):
        return str(name[0]), int(name[1])
    return (name, None) if isinstance(name, str) and name else None
