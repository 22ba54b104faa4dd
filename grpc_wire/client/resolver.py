"""Names -> addresses, by the system's resolver, in a thread of the loop's executor."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from grpc_wire.client.target import Address, Scheme

_FAMILIES: Final[dict[int, Scheme]] = {socket.AF_INET: "ipv4", socket.AF_INET6: "ipv6"}


async def resolve(name: Address) -> tuple[Address, ...]:
    """Returns all addresses of a name, each once, in the resolver's order.

    Raises:
        OSError: there are none, or nobody could be asked.
    """
    try:
        infos = await asyncio.get_running_loop().getaddrinfo(
            name.host, name.port, type=socket.SOCK_STREAM
        )
    except UnicodeError as error:  # of the codec for names
        raise socket.gaierror(socket.EAI_NONAME, str(error)) from error
    addresses = (
        Address(_FAMILIES[family], str(socket_address[0]), int(socket_address[1]))
        for family, _, _, _, socket_address in infos
        if family in _FAMILIES
    )
    unique = tuple(dict.fromkeys(addresses))
    if not unique:
        raise socket.gaierror(socket.EAI_NONAME, "no address of a family that is known")
    return unique
