"""Listening sockets, for addresses in grpc's syntax.

`HOST:PORT` (a name, an IPv4 address, an IPv6 address in brackets), `unix:PATH`, `unix-abstract:NAME`;
`HOST:PORT` also with `dns:`, `ipv4:` or `ipv6:` before it. The default port is 443; 0 picks a free one, the
same for all addresses of a name.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import ssl
import stat
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

from grpc_wire.transport.accepting import acceptors

BACKLOG: Final = 4096
"""Maximum connections that wait to be accepted; the system may allow fewer."""
_SCHEME: Final = re.compile(r"^(?:dns:(?:///)?|ipv4:|ipv6:)")
_HOST_PORT: Final = re.compile(
    r"(?:\[(?P<six>[^\]]+)\]|(?P<host>[^:\[\]]*))(?::(?P<port>\d{1,5}))?"
)
_UNAVAILABLE: Final = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
UNIX_PORT: Final = 1
"""What grpc returns as the port of a Unix socket."""


class Listener:
    """The sockets of one address.

    Attributes:
        sockets: they listen already; clients wait until `accept`.
        port: the bound port.
    """

    def __init__(self, address: str, tls: ssl.SSLContext | None, *, reuse_port: bool) -> None:
        """Binds an address; `tls` is its context, None without TLS.

        Raises:
            OSError: it cannot be bound.
            ValueError: it is not an address.
        """
        self._path: str | None = None
        self._tls = tls
        self._servers: list[asyncio.Server] = []
        self._acceptors: list[socket.socket] = []
        self.sockets: list[socket.socket] = []
        if address.startswith(("unix:", "unix-abstract:")):
            self.sockets = [self._unix(address)]
            self.port = UNIX_PORT
            return
        match = _HOST_PORT.fullmatch(_SCHEME.sub("", address))
        if match is None:
            raise ValueError(f"{address!r} is not an address")
        port = 443 if match["port"] is None else int(match["port"])
        self.sockets = _bind(match["six"] or match["host"], port, reuse_port=reuse_port)
        self.port = self.sockets[0].getsockname()[1]

    def __del__(self) -> None:
        """Closes the sockets of a server that was never started."""
        self.close()

    async def prepare(self, make: Callable[[], asyncio.Protocol], handshake: float) -> None:
        """Makes the asyncio servers.

        `make` returns the protocol of a connection; `handshake` is the timeout of TLS in seconds.
        """
        self._acceptors = [each for one in self.sockets for each in acceptors(one)]
        for each in self._acceptors:
            server = await asyncio.get_running_loop().create_server(
                make,
                sock=each,
                backlog=BACKLOG,
                ssl=self._tls,
                ssl_handshake_timeout=None if self._tls is None else handshake,
                start_serving=False,
            )
            self._servers.append(server)

    async def accept(self) -> None:
        """Accepts connections until `close`."""
        for server in tuple(self._servers):
            if self.sockets:  # it may be closed meanwhile
                await server.start_serving()

    def pause(self) -> None:
        """Accepts no more connections; after a turn of the loop `close` is safe.

        asyncio leaks a connection that it accepted in the turn in which its server is closed (3.11).
        """
        loop = asyncio.get_running_loop()
        for each in self._acceptors:
            loop.remove_reader(each)

    def close(self) -> None:
        """Closes the sockets, and removes the file of a Unix socket."""
        for server in self._servers:
            server.close()
        self._servers = []
        for each in (*self.sockets, *self._acceptors):
            each.close()
        if self._path is not None and self.sockets:
            _unlink_socket(self._path)
        self.sockets, self._acceptors = [], []

    def _unix(self, address: str) -> socket.socket:
        if address.startswith("unix-abstract:"):
            name = "\0" + address.removeprefix("unix-abstract:")
        else:
            name = self._path = re.sub(r"^unix:(//(?=/))?", "", address)
            _unlink_socket(name)
        return _listen(socket.AF_UNIX, name)


def _unlink_socket(path: str) -> None:
    """Removes the socket file of a process that died; any other file stays, and binding fails."""
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.unlink(path)
    except FileNotFoundError:
        pass


def _bind(host: str, port: int, *, reuse_port: bool) -> list[socket.socket]:
    infos = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    bound: list[socket.socket] = []
    unavailable: list[OSError] = []
    with ExitStack() as undo:
        for family, _, _, _, address in dict.fromkeys(infos):
            bound_port = bound[0].getsockname()[1] if bound else port
            try:
                listening = _listen(
                    family, (address[0], bound_port, *address[2:]), reuse_port=reuse_port
                )
            except OSError as error:
                if error.errno not in _UNAVAILABLE:
                    raise
                unavailable.append(error)
                continue
            undo.callback(listening.close)
            bound.append(listening)
        if not bound:
            raise unavailable[0]
        undo.pop_all()
    return bound


def _listen(family: int, address: Any, *, reuse_port: bool = False) -> socket.socket:
    # asyncio switches Nagle's algorithm off only where a socket says that it is TCP
    protocol = 0 if family == socket.AF_UNIX else socket.IPPROTO_TCP
    with ExitStack() as undo:
        listening = undo.enter_context(socket.socket(family, socket.SOCK_STREAM, protocol))
        if family != socket.AF_UNIX:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            both = address[0] == "::"
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
        listening.bind(address)
        listening.listen(BACKLOG)
        undo.pop_all()
    return listening
