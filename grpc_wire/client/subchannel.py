"""One address of a channel, and the connection to it.

A subchannel is IDLE until a call needs it; then it connects, with backoff. Between failed attempts it stays
TRANSIENT_FAILURE: calls do not wait for an attempt that is likely to fail. When its connection ends, it is
IDLE again. A connection is READY when the peer's SETTINGS have come (gRPC's connection-backoff.md).
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
from grpc_wire.http2.events import GoAwayReceived, HeadersReceived, RequestTooLarge
from grpc_wire.transport.transport import Transport

_CLOSING = 2.0
"""Maximum seconds that `close` waits for connections; they are cut long before."""
_TOO_MANY_PINGS = b"too_many_pings"


class SubchannelObserver(Protocol):
    """What a subchannel notifies."""

    def state_changed(self) -> None:
        """Its state or its connection has changed."""

    def capacity_changed(self) -> None:
        """Its connection may take more streams than before, or fewer."""

    def connection_failed(self) -> None:
        """A connection failed or ended: the name may resolve to other addresses now."""


class Subchannel:
    """One address.

    Attributes:
        state: its connectivity.
        transport: the connection for new streams; None unless READY.
        max_streams: how many streams calls may have on it at once: what the peer allows, less deferred
            resets.
        failure: why the last attempt failed.
    """

    def __init__(
        self,
        address: Address,
        options: ChannelOptions,
        tls: ssl.SSLContext | None,
        tls_name: str,
        watcher: SubchannelObserver,
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
        """Starts to connect if IDLE. Does not call `state_changed`."""
        if self.state is ChannelConnectivity.IDLE:
            self.state = ChannelConnectivity.CONNECTING
            self._connecting = self._loop.create_task(self._connect())

    def drain(self) -> None:
        """Accepts no more calls; open streams may finish."""
        self._shut_down()
        for transport in tuple(self._transports):
            transport.go_away()

    async def close(self) -> None:
        """Accepts no more calls, cuts open connections, and waits until they are closed."""
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
            await asyncio.sleep(self._backoff.delay(self._loop.time()))
            limit = self._backoff.start_attempt(self._loop.time())
            attempt = self._attempt = Attempt()
            try:
                reason = await attempt.run(self._open(limit), limit)
            finally:
                self._attempt = None
            if attempt.succeeded:  # it may succeed at the very moment of the timeout
                return
            self._failed(reason)

    async def _open(self, limit: float) -> None:
        address = self.address
        secured: dict[str, Any] = {}
        if self._tls is not None:
            # Raises for an invalid name; asyncio would raise late, and leave the socket open.
            self._tls.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=self._tls_name)
            # uvloop keeps an abandoned attempt for as long.
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

    # Callbacks of a connection.

    def opened(self, transport: Transport) -> None:
        """Waits for the peer's SETTINGS, unless the attempt is over."""
        if self._attempt is None:
            abandon(transport)
        else:
            self._attempt.opened(transport)

    def connected(self, transport: Transport) -> None:
        """Becomes READY: the peer's SETTINGS have come."""
        if self.state is ChannelConnectivity.SHUTDOWN or self._attempt is None:
            return
        if self._attempt.connected(transport):
            self._transports.add(transport)
            self.transport = transport
            self.max_streams = _max_streams(transport)
            self._set(ChannelConnectivity.READY)

    def requested(self, _transport: Transport, _event: HeadersReceived) -> None:
        """Ignores headers of unknown streams; servers send no requests."""

    def oversized(self, _transport: Transport, _event: RequestTooLarge) -> None:
        """Never called: servers send no requests."""

    def changed(self, transport: Transport) -> None:
        """Notifies that there may be room for streams."""
        limit = _max_streams(transport)
        if transport is self.transport and limit != self.max_streams:
            self.max_streams = limit
            self._watcher.state_changed()
        else:
            self._watcher.capacity_changed()

    def going_away(self, transport: Transport, event: GoAwayReceived) -> None:
        """Lets the connection finish its streams; the next call opens another."""
        if event.code == ErrorCode.ENHANCE_YOUR_CALM and event.debug == _TOO_MANY_PINGS:
            # gRPC A8: double the keepalive interval
            keepalive = self._lifetimes.keepalive * 2
            self._lifetimes = dataclasses.replace(self._lifetimes, keepalive=keepalive)
        transport.go_away()
        if transport is self.transport:
            self._connection_ended()

    def disconnected(self, transport: Transport, reason: str) -> None:
        """Becomes IDLE, or fails the attempt to connect."""
        self._transports.discard(transport)
        if self._emptied is not None and not self._transports and not self._emptied.done():
            self._emptied.set_result(None)
        if transport is self.transport:
            self._connection_ended()
        elif self._attempt is not None:
            self._attempt.disconnected(transport, reason)

    def _connection_ended(self) -> None:
        self.transport = None
        self._backoff.connection_ended(self._loop.time())
        self._set(ChannelConnectivity.IDLE)
        self._watcher.connection_failed()


def _max_streams(transport: Transport) -> int:
    """Returns how many streams calls may have; 0 only if the peer allows none."""
    allowed = transport.connection.peer.concurrent_streams
    return max(allowed - transport.connection.deferred_resets, min(allowed, 1))


class Attempt:
    """One attempt to connect: TCP, TLS, and the peer's SETTINGS, within a timeout.

    Attributes:
        succeeded: whether the connection is established.
    """

    def __init__(self) -> None:
        self.succeeded = False
        self._settled = asyncio.get_running_loop().create_future()
        self._transport: Transport | None = None

    async def run(self, connecting: Awaitable[object], limit: float) -> str:
        """Waits until the connection is established; returns why it is not, or "".

        `limit` is the timeout in seconds.
        """
        opened, reason = False, ""
        try:
            async with asyncio.timeout(limit):
                await connecting
                opened = True
                await self._settled
        except TimeoutError:
            reason = f"no connection within {limit:g} s"
        except Exception as error:  # whatever it is, calls must not wait for it
            reason = _text(error)
        finally:
            self._settled.cancel()
            if self._transport is not None and not (opened and self.succeeded):
                abandon(self._transport)
        return reason

    def opened(self, transport: Transport) -> None:
        """Waits for the peer's SETTINGS, unless the attempt is over."""
        if self._settled.done():
            abandon(transport)
        else:
            self._transport = transport

    def connected(self, transport: Transport) -> bool:
        """Succeeds, if it is this attempt's connection; returns whether it does."""
        if transport is not self._transport or self._settled.done():
            return False
        self.succeeded = True
        self._settled.set_result(None)
        return True

    def disconnected(self, transport: Transport, reason: str) -> None:
        """Fails, if it was this attempt's connection."""
        if transport is self._transport and not self._settled.done():
            self._settled.set_exception(ConnectionError(reason))


def abandon(transport: Transport) -> None:
    """Closes a connection without GOAWAY.

    uvloop reports no end of a socket whose creation was cancelled when it was already connected.
    """
    transport.socket.abort()
    transport.connection_lost(None)


def _text(error: Exception) -> str:
    special = isinstance(error, ssl.SSLError | socket.gaierror)
    if isinstance(error, OSError) and error.errno and not special:
        return os.strerror(error.errno)  # asyncio replaces the system's text by its own
    return str(error) or "the peer closed the connection within the TLS handshake"
