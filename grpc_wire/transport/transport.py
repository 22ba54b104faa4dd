"""One connection on a socket: between asyncio and the sans-IO `Connection`, for both sides.

Rules:
- Reading goes on however much output waits: limits cut a peer that asks and does not read. (If both sides
  stopped reading while they cannot write, neither would go on.)
- Frames that come at once are processed in several turns of the loop; the socket is not read meanwhile.
- Each stream has its end reported once: by what the peer sent, by `reset` or by `lost`.
- A stream of a client is over when its response has ended, whether or not its request has (RFC 9113, 8.1).
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from functools import partial
from typing import Any, cast

from grpc_wire.headers.section import Headers
from grpc_wire.http2.connection import Connection, Role
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.events import (
    ConnectionEvent,
    ConnectionFailed,
    DataReceived,
    GoAwayReceived,
    HeadersReceived,
    PingAcknowledged,
    RequestTooLarge,
    SettingsReceived,
    StreamDrained,
    StreamReset,
)
from grpc_wire.http2.limits import DEFAULT, Budget, Limits
from grpc_wire.http2.streams import LARGEST_ID
from grpc_wire.transport.callbacks import StreamCallbacks, TransportCallbacks
from grpc_wire.transport.deferred_resets import DeferredResets
from grpc_wire.transport.lifetime import UNLIMITED, Lifetime, Lifetimes
from grpc_wire.transport.turn import Turn
from grpc_wire.transport.writer import Writer

_KEEPALIVE_PING = b"are you?"
_GOAWAY_PING = b"bye, bye"


class Transport(asyncio.Protocol):
    """One connection.

    Attributes:
        connection: its protocol state; call it directly only for what sends nothing.
        writer: its output.
        socket: asyncio's transport; set by `connection_made`.
        loop: the event loop. (`get_running_loop` per call costs a system call.)
        idle_since: when the last stream ended, in the loop's time.
        turn: what its calls may still read in this turn of the loop.
    """

    def __init__(
        self,
        role: Role,
        owner: TransportCallbacks,
        limits: Limits = DEFAULT,
        lifetimes: Lifetimes = UNLIMITED,
        shared_resets: Budget | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.idle_since = self.loop.time()
        self.connection = Connection(
            role, limits, clock=self.loop.time, shared_resets=shared_resets
        )
        self.socket: asyncio.Transport
        self._is_client = role is Role.CLIENT
        self._owner, self._lifetimes = owner, lifetimes
        self._streams: dict[int, StreamCallbacks] = {}
        self.writer = Writer(self.connection, self._drained, self._process_events)
        self.send_data, self.queued = self.writer.send, self.writer.queued
        self.send_now = self.writer.send_now
        self._settings_received = self._has_backlog = self._lost = False
        self._draining = self._closes_when_idle = False
        self.turn = Turn(self.loop, limits.turn_bytes)
        self._reason = ""
        self._ends: list[asyncio.TimerHandle] = []
        changed = partial(owner.changed, self)
        self._deferred_resets = DeferredResets(self.connection, self.writer, self.loop, changed)

    # For calls.

    def open(
        self, stream: StreamCallbacks, prefix: Headers, headers: Headers, data: bytes | None = None
    ) -> int:
        """Opens a stream; returns 0 where none can be opened now; see `Connection.open_stream`."""
        stream_id = 0 if self.writer.closed else self.connection.open_stream(headers, data, prefix)
        if not stream_id:
            return 0
        self._streams[stream_id] = stream
        self.writer.schedule_flush()
        if stream_id == LARGEST_ID:
            self.loop.call_soon(self._process_events)
        return stream_id

    def send_headers(self, stream_id: int, headers: Headers, *, end_stream: bool = False) -> None:
        """Sends a header section."""
        self.writer.send_joined()
        self.connection.send_headers(stream_id, headers, end_stream=end_stream)
        self.writer.schedule_flush()

    def register(self, stream_id: int, stream: StreamCallbacks) -> None:
        """Sets the callbacks of a stream that the peer has opened."""
        self._streams[stream_id] = stream

    def send_response(self, stream_id: int, head: Headers, data: list[bytes], end: Headers) -> bool:
        """Sends a complete response; returns whether some of it waits until the peer reads."""
        queued = self.connection.send_response(stream_id, head, data, end)
        self.writer.schedule_flush()
        if not queued:
            self.forget(stream_id)
        return queued > 0

    def send_whole(
        self,
        stream_id: int,
        head: Headers,
        data: bytes,
        prefix: Headers = (),
        trailers: Headers = (),
        literals: bytes = b"",
    ) -> bool:
        """Sends a complete response whose head few others have; see `Connection.send_whole`.

        It is written at once where no other stream is open: there is nothing to be written with it.
        """
        if self.connection.send_whole(stream_id, head, data, prefix, trailers, literals):
            self.writer.schedule_flush()
            return True
        self.forget(stream_id)
        if self._streams:
            self.writer.schedule_flush()
        else:
            self.writer.flush()
        return False

    def send_informational(self, stream_id: int, headers: Headers) -> None:
        """Sends an informational response; see `Connection.send_informational`."""
        self.connection.send_informational(stream_id, headers)
        self.writer.schedule_flush()

    def consumed(self, stream_id: int, size: int) -> None:
        """Counts bytes of a stream as read."""
        self.connection.consumed(stream_id, size)
        self.writer.schedule_flush()

    def expect(self, stream_id: int, size: int) -> None:
        """Grants the `size` bytes still to come of a message; see `Connection.expect`."""
        self.connection.expect(stream_id, size)
        self.writer.schedule_flush()

    def reset(self, stream_id: int, code: ErrorCode) -> None:
        """Resets a stream if it is open; no more callbacks for it."""
        if self.connection.reset(stream_id, code):
            self.writer.schedule_flush()
            self._deferred_resets.update()
        self.forget(stream_id)

    def cut(self, stream_id: int, code: ErrorCode, reason: str) -> None:
        """Resets a stream, and calls `StreamCallbacks.reset` as if its peer had."""
        stream = self._streams.get(stream_id)
        self.reset(stream_id, code)
        if stream is not None:
            stream.reset(StreamReset(stream_id, code, reason, by_peer=False))

    def forget(self, stream_id: int) -> None:
        """Ends the callbacks of a stream: it has ended both ways."""
        if stream_id in self._streams:
            del self._streams[stream_id]
            self._forgotten(stream_id)

    def _forgotten(self, stream_id: int) -> None:
        blocked = self.writer.blocked
        if blocked:
            blocked.discard(stream_id)
        if not self._streams:
            self.idle_since = self.loop.time()
            if self._draining:
                self._close_if_done()
                self._owner.changed(self)

    # For the server or channel.

    @property
    def last_received(self) -> float:
        """When bytes last came, in the loop's time."""
        return self.connection.last_received

    @property
    def established(self) -> bool:
        """Whether SETTINGS were exchanged and acknowledged both ways."""
        return self._settings_received and self.connection.settings_acknowledged

    @property
    def open_section(self) -> int:
        """Stream whose header section is not complete; 0 if all are."""
        return self.connection.open_section

    @property
    def stream_count(self) -> int:
        """How many streams have not ended."""
        return len(self._streams)

    def send_ping(self) -> None:
        """Sends a keepalive ping."""
        self.connection.ping(_KEEPALIVE_PING)
        self.writer.schedule_flush()

    def go_away(self, grace: float = math.inf) -> None:
        """Accepts no new streams; closes when the last has ended, or when `grace` seconds are over.

        A server sends GOAWAY twice: requests under way at the first are still accepted (RFC 9113, 6.8).
        """
        if self.writer.closed:
            return
        if grace < math.inf:
            self._ends.append(self.loop.call_later(grace, self.abort, "grace is over"))
        if not self._draining:
            self._draining = True
            if self._is_client:  # nothing can be under way to it; `abort` sends GOAWAY
                self._closes_when_idle = True
                self._close_if_done()
                return
            self.connection.go_away(last=False)
            self.connection.ping(_GOAWAY_PING)
            self.writer.schedule_flush()
            self._ends.append(
                self.loop.call_later(self._lifetimes.goaway_timeout, self._send_final_goaway)
            )

    def abort(self, reason: str, code: ErrorCode = ErrorCode.NO_ERROR) -> None:
        """Closes at once; open streams are `lost`."""
        if self.writer.closed:
            return
        self._reason = reason
        self.writer.send_joined()
        self.connection.go_away(code, reason.encode())
        self._close()

    # For asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sends the preface and SETTINGS."""
        self.socket = cast("asyncio.Transport", transport)
        self.writer.attach(self.socket)
        self.idle_since = self.loop.time()
        self._lifetime = Lifetime(self, self._lifetimes, self.loop)
        self.connection.watch_sections(self._lifetime.begin_section)
        self._owner.opened(self)
        secured: Any = transport.get_extra_info("ssl_object")
        if secured is not None and secured.selected_alpn_protocol() != "h2":
            self.abort("the peer did not agree to speak HTTP/2 (ALPN)")
            return
        self.writer.write()

    def data_received(self, data: bytes) -> None:
        """Processes received bytes."""
        if self.writer.closed:
            return
        self.turn.bytes_left = self.turn.bytes_per_turn
        self._receive(data)
        if self.connection.has_backlog and not self._has_backlog:
            self._has_backlog = True
            self.socket.pause_reading()
            self.loop.call_soon(self._receive_backlog)

    def _receive_backlog(self) -> None:
        """Processes more of the backlog, in a turn of its own."""
        if not self.writer.closed:
            self._receive(b"")
        if self.connection.has_backlog and not self.writer.closed:
            self.loop.call_soon(self._receive_backlog)
            return
        self._has_backlog = False
        if self._lost:
            self._end_all()
        else:
            self.socket.resume_reading()

    def _receive(self, data: bytes) -> None:
        writer = self.writer
        if writer.joining:
            writer.send_joined()
        was_scheduled, writer.is_scheduled = writer.is_scheduled, True
        for event in self.connection.receive(data):
            if type(event) is HeadersReceived:
                if (stream := self._receiver(event.stream_id, ends=event.end_stream)) is not None:
                    stream.headers_received(event)
                elif not (event.is_trailers or writer.closed):
                    self._owner.requested(self, event)
            elif type(event) is DataReceived:
                if (stream := self._receiver(event.stream_id, ends=event.end_stream)) is not None:
                    stream.data_received(event)
            else:
                self._process_event(event)
        if self._deferred_resets.count:
            self._deferred_resets.update()
        writer.is_scheduled = was_scheduled
        if self.connection.ready or writer.blocked:  # written after the tasks that this has started
            writer.schedule_flush()

    def _receiver(self, stream_id: int, *, ends: bool) -> StreamCallbacks | None:
        """Returns who is told of an event; if the event ends a response, its stream is over before."""
        stream = self._streams.get(stream_id)
        if ends and self._is_client and stream is not None:
            del self._streams[stream_id]
            if stream_id in self.connection.open:  # nobody reads the rest of the request
                self.connection.reset(stream_id, ErrorCode.NO_ERROR)
            self._forgotten(stream_id)
        return stream

    def eof_received(self) -> bool:
        """Lets asyncio close: HTTP/2 has no half-closed connections."""
        return False

    def pause_writing(self) -> None:
        """Makes senders wait: the socket's buffer is full."""
        self.writer.pause()

    def resume_writing(self) -> None:
        """Lets senders go on."""
        self.writer.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends all streams; frames that came before are processed first."""
        closed = "the peer closed the connection"
        if not self._settings_received:
            closed += " before it said that it speaks HTTP/2"
        self._reason = self._reason or str(exc or closed)
        self._lost = True
        if not self._has_backlog:
            self._end_all()

    def _end_all(self) -> None:
        self.writer.closed = True
        self._lifetime.end()
        self._deferred_resets.stop()
        for handle in self._ends:
            handle.cancel()
        self._end_streams()
        self._owner.disconnected(self, self._reason)

    def _process_events(self) -> None:
        for event in self.connection.take_events():
            self._process_event(event)

    def _drained(self, stream_id: int) -> None:
        if stream := self._streams.get(stream_id):
            stream.drained()

    def _process_event(self, event: ConnectionEvent) -> None:
        match event:
            case StreamDrained():
                self.writer.drained(event.stream_id)
            case StreamReset():
                if (stream := self._streams.get(event.stream_id)) is not None:
                    self.forget(event.stream_id)
                    stream.reset(event)
            case RequestTooLarge():
                self._owner.oversized(self, event)
            case SettingsReceived():
                if not self._settings_received:
                    self._settings_received = True
                    self._owner.connected(self)
                self._owner.changed(self)
            case GoAwayReceived():
                self._reason = event.reason or self._reason
                self._owner.going_away(self, event)
            case ConnectionFailed():
                self._reason = event.reason
                self._close()
            case PingAcknowledged() if event.data == _GOAWAY_PING and self._draining:
                self._send_final_goaway()

    def _send_final_goaway(self) -> None:
        if not self._closes_when_idle and not self.writer.closed:
            self._closes_when_idle = True
            self.connection.go_away()
            self.writer.schedule_flush()
            self._close_if_done()

    def _close_if_done(self) -> None:
        if self._closes_when_idle and not self._streams:
            self.loop.call_soon(self._end)

    def _end(self) -> None:
        if not self._is_client:
            self._close()
        elif not self._streams:  # a call may have begun meanwhile
            self.abort("no calls are left")

    def _close(self) -> None:
        """Sends the remaining output and EOF, and leaves closing to the peer for a while.

        Closing while bytes arrive makes the peer's system discard what it has not read. asyncio's TLS has no
        half-close: there a server relies on its GOAWAY.
        """
        if self.writer.closed:
            return
        self.writer.write()
        self.writer.closed = True
        self._end_streams()
        if self._lost:  # nothing to close: `_receive_backlog` ends it
            return
        with suppress(OSError):  # the connection may be lost already
            if self.socket.can_write_eof():
                self.socket.write_eof()
            elif self._is_client:
                self.socket.close()
        self._ends.append(self.loop.call_later(self._lifetimes.close_timeout, self.socket.abort))

    def _end_streams(self) -> None:
        streams = tuple(self._streams.values())
        self._streams.clear()  # later events of this turn have no receiver
        for stream in streams:
            stream.lost(self._reason)
