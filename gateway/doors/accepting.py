"""Accepts connections: a bounded number in a turn of the event loop, and no more than there is room for.

Where the limit of connections is reached, further ones are refused (`gateway.doors.refusing`). Where the
system has no descriptors left, they wait in the backlog of the listening socket until there is room; that is
logged once, and when it is over.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from gateway.doors.proxied import ProxyProtocol, read_proxied_ends
from gateway.doors.proxy_protocol import ProxiedEnds, ProxyHeaderError
from gateway.doors.refusing import Refusing, refusal

log = logging.getLogger(__name__)

TURN_CONNECTIONS: Final = 8
"""Connections that are accepted in one turn of the event loop from one socket."""
RETRY_SECONDS: Final = 0.25
"""How long accepting waits for a descriptor to become free, before it tries again."""
_MAX_TURNS: Final = 1024
"""Maximum turns in which the backlog of a socket is emptied at the end."""
_LOG_SECONDS: Final = 10.0
"""Least time between two lines about connections that are refused."""
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

Release: TypeAlias = Callable[[], None]
Factory: TypeAlias = Callable[[Release, ProxiedEnds | None], asyncio.Protocol]
"""Makes the protocol of a connection; it calls its first argument when the connection has ended. The second
is what a PROXY header has told."""


@dataclass(frozen=True, slots=True)
class AcceptLimits:
    """Limits of the connections of one process."""

    max_connections: int | None = None
    """In all; further ones are refused with 503. None: as many as there are descriptors."""
    max_connections_per_address: int | None = None
    """Of one client address; further ones are refused with 429. None: no limit."""
    tls_handshake_timeout: float = 15.0
    """Seconds."""


class Acceptor:
    """Accepts on some sockets, as `asyncio.Server` does.

    Attributes:
        open: connections that are open, those in a TLS handshake among them.
        by_address: how many of them each client address has.
        exhausted: how often the system has had no descriptor left.
        refused: connections that were refused for a limit, or closed for their PROXY header.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        factory: Factory,
        limits: AcceptLimits,
        tls: ssl.SSLContext | None = None,
        proxied: ProxyProtocol | None = None,
    ) -> None:
        """Takes listening sockets, which it closes in the end.

        Args:
            sockets: what is accepted on.
            factory: makes a protocol for each connection.
            limits: of the connections.
            tls: the context of TLS, if it is spoken.
            proxied: that each connection starts with a PROXY header, if it does.
        """
        self._sockets = list(sockets)
        self._factory = factory
        self._limits = limits
        self._tls = tls
        self._proxied = proxied
        self._loop = asyncio.get_running_loop()
        self.by_address: Counter[str] = Counter()
        self._connecting: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._accepting = False
        self._waiting = False
        self._closed = False
        self._refusing = Refusing(secure=tls is not None)
        self._logged_at = float("-inf")
        self.open = 0
        self.exhausted = 0
        self.refused = 0

    def start(self) -> None:
        """Starts to accept."""
        for each in self._sockets:
            each.settimeout(0)
        self._resume()

    def accept_waiting(self) -> None:
        """Accepts what waits in the backlog, which `close` would reset."""
        if self._accepting:
            for each in self._sockets:
                for _ in range(_MAX_TURNS):
                    if not self._accept(each):
                        break

    def close(self) -> None:
        """Stops accepting, and closes the sockets; what is open stays so."""
        self._pause()
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()
        self._refusing.close()
        for each in self._sockets:
            each.close()

    async def wait_closed(self) -> None:
        """Waits for TLS handshakes that are under way."""
        if self._connecting:
            await asyncio.wait(self._connecting)

    def _resume(self) -> None:
        self._retry = None
        if not self._accepting and not self._closed:
            self._accepting = True
            for each in self._sockets:
                self._loop.add_reader(each.fileno(), self._accept, each)

    def _pause(self) -> None:
        if self._accepting:
            self._accepting = False
            for each in self._sockets:
                self._loop.remove_reader(each.fileno())

    def _accept(self, listening: socket.socket) -> bool:
        """Accepts a turn's connections; returns whether there may be more."""
        accepted = 0
        for _ in range(TURN_CONNECTIONS):
            try:
                connection, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                break
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                self.exhausted += 1
                self._wait(error.strerror or str(error))
                self._retry = self._loop.call_later(RETRY_SECONDS, self._resume)
                return False
            self._connect(connection, address)
            accepted += 1
        if self._waiting and self._accepting:
            self._waiting = False
            log.warning("accepting connections again")
        return accepted == TURN_CONNECTIONS

    def _wait(self, reason: str) -> None:
        """Accepts no more until there is room."""
        self._pause()
        if not self._waiting:
            self._waiting = True
            log.warning("new connections wait: %s", reason)

    def _connect(self, connection: socket.socket, address: object) -> None:
        host = str(address[0]) if isinstance(address, tuple) else ""
        most = self._limits.max_connections
        if most is not None and self.open >= most:
            self._refuse("there are %d connections; further ones are refused", most)
            words = refusal(503, f"too many connections; the limit is {most}")
            self._refusing.refuse(connection, words)
            return
        if self._proxied is None:
            if self._is_refused(connection, host):
                return
        elif not self._proxied.trusts(host):
            connection.close()
            self._refuse(
                "%s may send no PROXY header; its connections are closed", host or "a Unix socket"
            )
            return
        connection.settimeout(0)
        lease = _Lease(self)
        if self._proxied is None:
            lease.count(host)
            opening = self._open(connection, lease)
        else:
            opening = self._open_proxied(self._proxied, connection, host, lease)
        task = self._loop.create_task(opening)
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def _is_refused(self, connection: socket.socket, host: str) -> bool:
        """Refuses a connection of an address that has as many as it may; returns whether it has."""
        most = self._limits.max_connections_per_address
        if most is None or not host or self.by_address[host] < most:
            return False
        self._refuse("%s has %d connections; further ones are refused", host, most)
        words = refusal(429, f"too many connections from this address; the limit is {most}")
        self._refusing.refuse(connection, words)
        return True

    def _refuse(self, reason: str, *values: object) -> None:
        self.refused += 1
        now = self._loop.time()
        if now - self._logged_at >= _LOG_SECONDS:
            self._logged_at = now
            log.warning(reason, *values)

    def released(self) -> None:
        """Goes on accepting, if it waits: there is room for a connection."""
        if self._waiting and self._retry is None:
            self._resume()

    async def _open_proxied(
        self, proxied: ProxyProtocol, connection: socket.socket, peer: str, lease: _Lease
    ) -> None:
        """Opens a connection behind its PROXY header; without one it is closed."""
        try:
            ends = await read_proxied_ends(connection, proxied.timeout)
        except OSError:
            self._close(connection, lease)
            return
        except ProxyHeaderError as error:
            self._close(connection, lease)
            self._refuse("%s: a connection is closed: %s", peer or "a Unix socket", error)
            return
        except BaseException:
            self._close(connection, lease)
            raise
        host = peer if ends is None else ends.client[0]
        if self._is_refused(connection, host):
            lease()
            return
        lease.count(host)
        await self._open(connection, lease, ends)

    def _close(self, connection: socket.socket, lease: _Lease) -> None:
        connection.close()
        lease()

    async def _open(
        self, connection: socket.socket, release: Release, told: ProxiedEnds | None = None
    ) -> None:
        tls, seconds = self._tls, self._limits.tls_handshake_timeout
        made: list[asyncio.Protocol] = []

        def make() -> asyncio.Protocol:
            made.append(self._factory(release, told))
            return made[0]

        try:
            await self._loop.connect_accepted_socket(
                make,
                connection,
                ssl=tls,
                ssl_handshake_timeout=None if tls is None else seconds,
            )
        except OSError as error:
            # the client has left, or is none of TLS
            log.debug("a connection has not opened: %s", type(error).__name__)
            release()
        except BaseException:
            release()
            raise


class _Lease:
    """The place of a connection; called, it is given back, once."""

    __slots__ = ("_acceptor", "_held", "_host")

    def __init__(self, acceptor: Acceptor) -> None:
        self._acceptor = acceptor
        self._host: str | None = None
        self._held = True
        acceptor.open += 1

    def count(self, host: str) -> None:
        """Counts the connection for an address."""
        self._host = host
        self._acceptor.by_address[host] += 1

    def __call__(self) -> None:
        acceptor, host = self._acceptor, self._host
        if not self._held:
            return
        self._held = False
        acceptor.open -= 1
        if host is not None:
            acceptor.by_address[host] -= 1
            if not acceptor.by_address[host]:
                del acceptor.by_address[host]
        acceptor.released()
