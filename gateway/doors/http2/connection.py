"""The shell of a connection of HTTP/2: who answers each of its streams, and what they all share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from gateway.doors.http.addresses import Addresses, addresses
from gateway.doors.http.door import Door, Release, nothing
from gateway.doors.http.rejection import Rejection
from gateway.doors.http2.direct import DirectStream
from gateway.doors.http2.door import MAX_UNREAD, Http2
from gateway.doors.http2.plain_head import HeadPattern, PlainHead
from gateway.doors.http2.request_head import make_request
from gateway.doors.http2.stream import Http2Stream
from gateway.doors.http2.websocket import WEBSOCKET, Http2WebSocket, handshake_of
from gateway.doors.proxy_protocol import ProxiedEnds
from gateway.exchange.request import new_request_id
from grpc_wire.headers.section import Headers
from grpc_wire.http2.connection import Role
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.events import GoAwayReceived, HeadersReceived, RequestTooLarge
from grpc_wire.transport.transport import Transport

log = logging.getLogger(__name__)

_INVALID: Final = "Invalid HTTP request received."
_UNKNOWN: Final = -1


class Http2Connection:
    """One connection.

    Attributes:
        door: who answers.
        transport: the asyncio protocol, and the engine below it.
        loop: the event loop.
        ends: the addresses.
        client: IP address of the client; empty where there is none, as on a Unix socket.
        over: whether it has ended.
    """

    __slots__ = (
        *(
            "_direct",
            "_fields",
            "_heads",
            "_http2",
            "_pattern",
            "_plain",
            "_release",
        ),
        *("_unread", "_unread_timer", "client", "door", "ends"),
        *("loop", "over", "transport"),
    )

    def __init__(
        self,
        door: Door,
        http2: Http2,
        socket: asyncio.Transport,
        release: Release = nothing,
        told: ProxiedEnds | None = None,
    ) -> None:
        """Takes what all connections share.

        Args:
            door: who answers.
            http2: what connections of HTTP/2 share.
            socket: the connection.
            release: called when the connection has ended.
            told: the ends that its PROXY header has told, if it had one.
        """
        self.door = door
        self._http2 = http2
        self._release = release
        self.loop = asyncio.get_running_loop()
        self.ends: Addresses = addresses(socket, told)
        self.client = self.ends.client[0] if self.ends.client else ""
        self.over = False
        resets = http2.resets.of(self.client)
        self._direct = door.direct
        self._heads = None if door.direct is None else http2.heads
        self._fields: Headers | None = None
        """Fields of the last shared head, which a client sends again and again; None: there was none."""
        self._plain: PlainHead
        """What they say."""
        self._pattern: HeadPattern | None = None
        """Of the last head; None: there was none, or it was not plain."""
        self.transport = Transport(Role.SERVER, self, http2.limits, http2.lifetimes, resets)
        self._unread: dict[int, int] = {}
        """Streams whose client does not read -> bytes that waited when that was looked at last."""
        self._unread_timer: asyncio.TimerHandle | None = None

    # What the server calls.

    def shutdown(self) -> None:
        """Accepts no more requests, and closes behind the last response."""
        self.transport.go_away()

    def abort(self) -> None:
        """Ends the connection at once."""
        self.transport.socket.abort()

    # What the transport calls.

    def opened(self, transport: Transport) -> None:
        """Begins."""
        del transport
        self.door.state.connections.add(self)

    def connected(self, transport: Transport) -> None:
        """Nothing: the client's SETTINGS have come."""

    def requested(self, transport: Transport, event: HeadersReceived) -> None:
        """Starts to answer a request."""
        door, direct = self.door, self._direct
        if door.closing:
            transport.go_away()
        if self._unread and self._unread_bytes() > MAX_UNREAD:
            transport.reset(event.stream_id, ErrorCode.REFUSED_STREAM)
            return
        if direct is not None and event.end_stream:
            plain = self._read(event)
            if plain is not None:
                stream = DirectStream(self, direct, event)
                transport.register(event.stream_id, stream)
                stream.answer(plain)
                if not stream.over_here:
                    door.state.tasks.add(stream)
                return
        self._start(event)

    def _read(self, event: HeadersReceived) -> PlainHead | None:
        """Returns what a head says; None if it is not plain.

        To compare the fields of two connections takes longer than all else here, so the last ones are known
        by their identity. The engine decodes equal blocks, and indexed fields, to one object.
        """
        heads, fields = self._heads, event.headers
        if heads is None:
            return None
        if fields is self._fields and self._plain.request.served is heads.served:
            return self._plain
        pattern = self._pattern
        plain = None if pattern is None else heads.read_like(pattern, fields)
        if plain is None:
            plain = heads.read(fields, self.door.limits.max_headers)
        self._pattern = None if plain is None else plain.pattern
        if plain is not None and plain.is_shared:
            self._fields, self._plain = fields, plain
        return plain

    def _start(self, event: HeadersReceived) -> None:
        try:
            request, protocol = make_request(event.headers, self.door.limits.max_headers)
            if protocol not in (b"", WEBSOCKET):
                raise Rejection(501, "the :protocol is not known here")
        except Rejection as rejection:
            self.reject(event.stream_id, rejection, event.headers)
            return
        if protocol:
            handshake = handshake_of(request)
            Http2WebSocket(self.door, handshake, nothing, self.ends).start(self, event)
            return
        stream = Http2Stream(self, event, request)
        self.transport.register(event.stream_id, stream)
        stream.answer()

    def oversized(self, transport: Transport, event: RequestTooLarge) -> None:
        """Answers 431."""
        del transport
        most = self.door.limits.max_head
        self.reject(event.stream_id, Rejection(431, f"the head is larger than {most} bytes"))

    def changed(self, transport: Transport) -> None:
        """Nothing: SETTINGS have come, or the last stream of a drain has ended."""

    def going_away(self, transport: Transport, event: GoAwayReceived) -> None:
        """Nothing: a client that opens no more streams closes behind the last."""

    def disconnected(self, transport: Transport, reason: str) -> None:
        """Ends."""
        del transport
        log.debug("a connection has ended: %s", reason)
        self.over = True
        self._unread.clear()
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
        self.door.state.connections.discard(self)
        self._release()

    # What streams call.

    @property
    def default_headers(self) -> Sequence[tuple[bytes, bytes]]:
        """Headers of the server, `Date` for one."""
        return self.door.state.default_headers

    def respond(self, stream_id: int, fields: Headers, body: bytes, trailers: Headers = ()) -> None:
        """Sends a whole response; see `grpc_wire.http2.connection.Connection.send_whole`."""
        if self.transport.send_whole(stream_id, fields, body, trailers=trailers):
            self.waits(stream_id)

    def response_ended(self, stream_id: int) -> None:
        """Leaves a stream, once the client has read what is queued."""
        if self.transport.queued(stream_id):
            self.waits(stream_id)
        else:
            self.sent(stream_id)

    def reject(
        self, stream_id: int, rejection: Rejection, known: Headers = (), *, is_new: bool = True
    ) -> None:
        """Answers what is no request.

        Args:
            stream_id: of the request.
            rejection: why it is refused.
            known: its headers, as far as they are known.
            is_new: unless an exchange tells of it.
        """
        log.warning(_INVALID)
        body, request_id = rejection.body(), new_request_id()
        if self.door.rejected is not None and is_new:
            self.door.rejected(rejection.status, rejection.code, request_id, self.client)
        fields = (
            (b":status", b"%d" % rejection.status),
            *self.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            *rejection.headers,
            *self.door.headers_of_rejection(known),
            (b"x-request-id", request_id.encode()),
        )
        self.transport.send_whole(stream_id, fields, body)

    # Clients that do not read.

    def waits(self, stream_id: int) -> None:
        """Watches a stream whose client does not read; see `left`."""
        self._unread.setdefault(stream_id, _UNKNOWN)
        if self._unread_timer is None:
            seconds = self._http2.send_timeout
            self._unread_timer = self.loop.call_later(seconds, self._check_unread)

    def left(self, stream_id: int) -> None:
        """Watches a stream no longer."""
        self._unread.pop(stream_id, None)

    def sent(self, stream_id: int) -> None:
        """Leaves a stream: its response was sent to its end."""
        self._unread.pop(stream_id, None)
        self.transport.forget(stream_id)

    def _unread_bytes(self) -> int:
        return sum(map(self.transport.queued, self._unread))

    def _check_unread(self) -> None:
        """Cuts the responses of which nothing was read since this was called last."""
        self._unread_timer = None
        for stream_id, before in [*self._unread.items()]:
            queued = self.transport.queued(stream_id)
            if before == _UNKNOWN or queued < before:
                self._unread[stream_id] = queued
            else:
                self.transport.cut(stream_id, ErrorCode.CANCEL, "the response is not read")
        if self._unread and not self.over:
            seconds = self._http2.send_timeout
            self._unread_timer = self.loop.call_later(seconds, self._check_unread)
