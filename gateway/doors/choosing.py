"""Which version of HTTP a connection speaks: by ALPN over TLS, by its first bytes in clear text.

Source: RFC 9113, sections 3.2 (ALPN) and 3.3 (prior knowledge). `Upgrade: h2c` is ignored, as 3.1 says.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol, cast

from gateway.doors.http.door import Door, Release, nothing
from gateway.doors.http1.protocol import Http1Protocol
from gateway.doors.http2.connection import Http2Connection
from gateway.doors.http2.door import Http2
from gateway.doors.proxy_protocol import ProxiedEnds
from grpc_wire.http2.frames import PREFACE

ALPN: Final = ("h2", "http/1.1")
"""What is offered over TLS, the preferred one first."""


class _Secured(Protocol):
    def selected_alpn_protocol(self) -> str | None:
        """Returns what both have agreed on."""


class ChoosingProtocol(asyncio.Protocol):
    """A connection of which nothing has come yet. Until something has, its timers are those of HTTP/1.1."""

    __slots__ = ("_door", "_http1", "_http2", "_received", "_release", "_told", "_transport")

    def __init__(
        self, door: Door, http2: Http2, release: Release = nothing, told: ProxiedEnds | None = None
    ) -> None:
        """Takes what both versions take; see `Http1Protocol` and `Http2Connection`."""
        self._door = door
        self._http2 = http2
        self._release = release
        self._told = told
        self._transport: asyncio.Transport
        self._http1 = Http1Protocol(door, release, told)
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Chooses by ALPN, or waits for the first bytes."""
        self._transport = cast("asyncio.Transport", transport)
        secured: _Secured | None = transport.get_extra_info("ssl_object")
        if secured is None:
            self._http1.connection_made(transport)
        elif secured.selected_alpn_protocol() == ALPN[0]:
            self._speak_http2()
        else:
            self._transport.set_protocol(self._http1)
            self._http1.connection_made(transport)

    def _speak_http2(self) -> None:
        connection = Http2Connection(
            self._door, self._http2, self._transport, self._release, self._told
        )
        protocol = connection.transport
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if self._received:
            protocol.data_received(self._received)

    def data_received(self, data: bytes) -> None:
        """Chooses, as soon as what has come can no longer be both."""
        data = self._received + data if self._received else data
        if data.startswith(PREFACE):
            self._http1.leave()
            self._received = data
            self._speak_http2()
        elif PREFACE.startswith(data):
            self._received = data
        else:
            self._transport.set_protocol(self._http1)
            self._http1.data_received(data)

    def eof_received(self) -> bool | None:
        """Lets the transport close."""
        return self._http1.eof_received()

    def pause_writing(self) -> None:
        """See `Http1Protocol`."""
        self._http1.pause_writing()

    def resume_writing(self) -> None:
        """See `Http1Protocol`."""
        self._http1.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `Http1Protocol`."""
        self._http1.connection_lost(exc)
