"""One address of a channel, and the connection to it.

IDLE until somebody wants it; then it connects, and if that fails, again and again, ever later. Its state
stays TRANSIENT_FAILURE meanwhile: callers are not to wait for an attempt that is likely to fail as well.
A connection that ends leaves it IDLE.

A connection is ready when the peer's settings have come (gRPC's connection-backoff.md).
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import socket
import ssl
from collections.abc import Awaitable
from typing import Any, Protocol

from grpc import ChannelConnectivity

from grpc_wire.client.backoff import Backoff
from grpc_wire.client.options import ChannelOptions
from grpc_wire.client.target import Address
from grpc_wire.http2.connection import Role
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.events import GoAwayReceived, HeadersReceived
from grpc_wire.transport.transport import Transport

_CLOSING = 2.0
"""Seconds that are waited for connections to be closed; they are cut long before."""
_TOO_MANY_PINGS = b"too_many_pings"


class Watcher(Protocol):
    """What is told of a subchannel."""

    def state_changed(self) -> None:
        """Its state or its connection is another."""

    def room_changed(self) -> None:
        """Its connection may take more streams than before, or fewer."""

    def connection_failed(self) -> None:
        """A connection could not be made, or has been left: its address may not be the right one any more."""


class Subchannel:
    """One address.

    Attributes:
        state: as the channel sees it.
        transport: the connection that takes new streams; None unless READY.
        max_streams: how many streams calls may have on it at once: as many as the peer allows, without those
            that were given up and are not reset yet.
        failure: why the last attempt failed.
    """

    def __init__(
        self,
        address: Address,
        options: ChannelOptions,
        tls: ssl.SSLContext | None,
        tls_name: str,
        watcher: Watcher,
    ) -> None:
        self.address = address
        self.state = ChannelConnectivity.IDLE
        self.transport: Transport | None = None
        self.max_streams = 0
        self.failure = ""
        self._options = options
        self._lifetimes = options.lifetimes
        self._tls = tls
        self._tls_name = tls_name
        self._watcher = watcher
        self._loop = asyncio.get_running_loop()
        self._backoff = Backoff(options.backoff)
        self._connecting: asyncio.Task[None] | None = None
        self._attempt: Attempt | None = None
        self._emptied: asyncio.Future[None] | None = None
        self._transports: set[Transport] = set()

    def connect(self) -> None:
        """Begins to connect, if it is IDLE. Who says so need not be told."""
        if self.state is ChannelConnectivity.IDLE:
            self.state = ChannelConnectivity.CONNECTING
            self._connecting = self._loop.create_task(self._connect())

    def drain(self) -> None:
        """Is used no more; streams that are open may finish."""
        self._shut_down()
        for transport in tuple(self._transports):
            transport.go_away()

    async def close(self) -> None:
        """Is used no more, cuts what is open, and waits until it is closed."""
        self._shut_down()
        for transport in tuple(self._transports):
            transport.abort("the channel was closed")
        if self._connecting is not None:
            await asyncio.wait({self._connecting})
        if self._transports:
            self._emptied = self._loop.create_future()
            await asyncio.wait({self._emptied}, timeout=_CLOSING)

    def _shut_down(self) -> None:
        self.state = ChannelConnectivity.SHUTDOWN
        self.transport = None
        if self._connecting is not None:
            self._connecting.cancel()

    async def _connect(self) -> None:
        while True:
            await asyncio.sleep(self._backoff.wait(self._loop.time()))
            limit = self._backoff.begin(self._loop.time())
            attempt = self._attempt = Attempt()
            try:
                reason = await attempt.run(self._open(limit), limit)
            finally:
                self._attempt = None
            if attempt.made:  # perhaps in the very moment in which the time was over
                return
            self._failed(reason)

    async def _open(self, limit: float) -> None:
        address = self.address
        secured: dict[str, Any] = {}
        if self._tls is not None:
            # A name that cannot be one is said here; asyncio says it late, and leaves the socket open.
            self._tls.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=self._tls_name)
            # An attempt that was given up stays with uvloop for as long.
            secured = {"server_hostname": self._tls_name, "ssl_handshake_timeout": limit}
        if address.scheme == "unix":
            await self._loop.create_unix_connection(
                self._make, address.host, ssl=self._tls, **secured
            )
        else:
            await self._loop.create_connection(
                self._make, address.host, address.port, ssl=self._tls, **secured
            )

    def _make(self) -> Transport:
        return Transport(Role.CLIENT, self, self._options.limits, self._lifetimes)

    def _failed(self, reason: str) -> None:
        self.failure = f"{self.address}: {reason}"
        self._set(ChannelConnectivity.TRANSIENT_FAILURE)
        self._watcher.connection_failed()

    def _set(self, state: ChannelConnectivity) -> None:
        if self.state is not ChannelConnectivity.SHUTDOWN:
            self.state = state
            self._watcher.state_changed()

    # What a connection tells its owner.

    def opened(self, transport: Transport) -> None:
        """Waits for the peer's settings; or does not, if the time for that is over."""
        if self._attempt is None:
            abandon(transport)
        else:
            self._attempt.opened(transport)

    def connected(self, transport: Transport) -> None:
        """Is READY: the peer's settings have come."""
        if self.state is ChannelConnectivity.SHUTDOWN or self._attempt is None:
            return
        if self._attempt.connected(transport):
            self._transports.add(transport)
            self.transport = transport
            self.max_streams = _max_streams(transport)
            self._set(ChannelConnectivity.READY)

    def requested(self, _transport: Transport, _event: HeadersReceived) -> None:
        """Passes over headers of streams that are gone; servers ask nothing of clients."""

    def changed(self, transport: Transport) -> None:
        """Tells that there may be room for streams, or that calls may have more or fewer than before."""
        limit = _max_streams(transport)
        if transport is self.transport and limit != self.max_streams:
            self.max_streams = limit
            self._watcher.state_changed()
        else:
            self._watcher.room_changed()

    def going_away(self, transport: Transport, event: GoAwayReceived) -> None:
        """Lets a connection finish what it has; the next call makes another."""
        if event.code == ErrorCode.ENHANCE_YOUR_CALM and event.debug == _TOO_MANY_PINGS:
            # gRPC A8: who is told so asks half as often from now on
            keepalive = self._lifetimes.keepalive * 2
            self._lifetimes = dataclasses.replace(self._lifetimes, keepalive=keepalive)
        transport.go_away()
        if transport is self.transport:
            self._left()

    def disconnected(self, transport: Transport, reason: str) -> None:
        """Is IDLE again, or has failed to connect."""
        self._transports.discard(transport)
        if self._emptied is not None and not self._transports and not self._emptied.done():
            self._emptied.set_result(None)
        if transport is self.transport:
            self._left()
        elif self._attempt is not None:
            self._attempt.disconnected(transport, reason)

    def _left(self) -> None:
        self.transport = None
        self._backoff.lost(self._loop.time())
        self._set(ChannelConnectivity.IDLE)
        self._watcher.connection_failed()


def _max_streams(transport: Transport) -> int:
    """Returns how many streams calls may have; 0 only if the peer allows none."""
    allowed = transport.connection.peer_max_streams
    return max(allowed - transport.connection.lingering, min(allowed, 1))


class Attempt:
    """One attempt; whoever owns the connection tells it what becomes of that.

    Attributes:
        made: whether it has come to something.
    """

    def __init__(self) -> None:
        self.made = False
        self._settled = asyncio.get_running_loop().create_future()
        self._transport: Transport | None = None

    async def run(self, connecting: Awaitable[object], limit: float) -> str:
        """Waits until the connection is made, for so many seconds at most; returns why it is not."""
        opened, reason = False, ""
        try:
            async with asyncio.timeout(limit):
                await connecting
                opened = True
                await self._settled
        except TimeoutError:
            reason = f"no connection within {limit:g} s"
        except Exception as error:  # whatever it is, calls are not to wait for it
            reason = _words(error)
        finally:
            self._settled.cancel()
            if self._transport is not None and not (opened and self.made):
                abandon(self._transport)
        return reason

    def opened(self, transport: Transport) -> None:
        """Waits for the peer's settings; or does not, if the time for that is over."""
        if self._settled.done():
            abandon(transport)
        else:
            self._transport = transport

    def connected(self, transport: Transport) -> bool:
        """Takes the peer's settings as its success; returns whether they are."""
        if transport is not self._transport or self._settled.done():
            return False
        self.made = True
        self._settled.set_result(None)
        return True

    def disconnected(self, transport: Transport, reason: str) -> None:
        """Fails, if that was its connection."""
        if transport is self._transport and not self._settled.done():
            self._settled.set_exception(ConnectionError(reason))


def abandon(transport: Transport) -> None:
    """Closes without a word: nobody has waited for it.

    Of a socket whose making was cancelled when it was there already, uvloop tells no end.
    """
    transport.socket.abort()
    transport.connection_lost(None)


def _words(error: Exception) -> str:
    special = isinstance(error, ssl.SSLError | socket.gaierror)
    if isinstance(error, OSError) and error.errno and not special:
        return os.strerror(error.errno)  # asyncio puts its own words in place of the system's
    return str(error) or "the peer closed the connection within the TLS handshake"
