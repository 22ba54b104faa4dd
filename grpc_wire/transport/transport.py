"""One connection on a socket: between asyncio and the sans-IO `Connection`, the same for both sides.

Rules:
- Reading goes on however much waits to be sent: an answer that cannot be sent stays with the connection,
  whose limits cut a peer that asks and does not read. (If both sides stopped to read when they cannot write,
  neither would go on.)
- What comes in many frames is taken in several turns of the loop, in order; nothing is read meanwhile.
- Each stream is told its end once: by what came from the peer, by `Stream.reset` or by `Stream.lost`.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from functools import partial
from typing import Any, cast

from grpc_wire.call.request import refusal_of
from grpc_wire.headers.section import Headers
from grpc_wire.http2.connection import Connection, Role
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.events import (
    ConnectionFailed,
    DataReceived,
    Event,
    GoAwayReceived,
    HeadersReceived,
    PingAcknowledged,
    RequestTooLarge,
    SettingsReceived,
    StreamDrained,
    StreamReset,
)
from grpc_wire.http2.limits import DEFAULT, Limits
from grpc_wire.transport.callbacks import Owner, Stream
from grpc_wire.transport.late_resets import LateResets
from grpc_wire.transport.lifetime import FOREVER, Lifetime, Lifetimes
from grpc_wire.transport.turn import Turn
from grpc_wire.transport.writer import Writer

_KEEPALIVE = b"are you?"
_GOODBYE = b"bye, bye"


class Transport(asyncio.Protocol):
    """One connection.

    Attributes:
        connection: its state; what sends nothing may be called there.
        socket: what asyncio gave; nothing here may be used before it has.
        loop: the one that all happens in. (To ask asyncio for it with each call is to ask the system.)
        heard: when something last came from the peer.
        turn: what may still be taken of messages in this turn of the loop.
    """

    def __init__(
        self, role: Role, owner: Owner, limits: Limits = DEFAULT, lifetimes: Lifetimes = FOREVER
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.heard = self.loop.time()
        self.connection = Connection(role, limits, clock=self.loop.time)
        self.socket: asyncio.Transport
        self._role, self._owner, self._lifetimes = role, owner, lifetimes
        self._streams: dict[int, Stream] = {}
        self._writer = Writer(self.connection, self._drained, self._look)
        self.send_data, self.queued = self._writer.send, self._writer.queued
        self._greeted = self._leaving = self._gone = self._lost = self._behind = False
        self.turn = Turn(self.loop, limits.turn_bytes)
        self._reason = ""
        self._ends: list[asyncio.TimerHandle] = []
        changed = partial(owner.changed, self)
        self._late_resets = LateResets(self.connection, self._writer, self.loop, changed)

    # What a call does.

    def open(self, stream: Stream, begin: Headers, more: Headers, data: bytes | None = None) -> int:
        """Begins a stream, which `Connection.can_open` must allow; see `Connection.open_stream`."""
        stream_id = self.connection.open_stream(more, data, begin)
        self._streams[stream_id] = stream
        self._writer.count(len(data or b""))
        return stream_id

    def send_headers(self, stream_id: int, headers: Headers, *, end_stream: bool = False) -> None:
        """Sends a header section."""
        self._writer.part()
        self.connection.send_headers(stream_id, headers, end_stream=end_stream)
        self._writer.touch()

    def adopt(self, stream_id: int, stream: Stream) -> None:
        """Takes who is to be told of a stream that the peer has opened."""
        self._streams[stream_id] = stream

    def answer(self, stream_id: int, head: Headers, data: tuple[bytes, ...], end: Headers) -> bool:
        """Sends all of an answer; returns whether some of it waits until the peer reads."""
        queued = self.connection.answer(stream_id, head, data, end)
        self._writer.touch()
        if not queued:
            self.forget(stream_id)
        return queued > 0

    def consumed(self, stream_id: int, size: int) -> None:
        """Says that bytes of a stream were read."""
        self.connection.consumed(stream_id, size)
        self._writer.touch()

    def expect(self, stream_id: int, size: int) -> None:
        """Says that a message of which `size` bytes are still to come is being waited for."""
        self.connection.expect(stream_id, size)
        self._writer.touch()

    def reset(self, stream_id: int, code: ErrorCode) -> None:
        """Ends a stream at once, if it has not ended. It is told nothing more."""
        if self.connection.reset(stream_id, code):
            self._writer.touch()
            self._late_resets.update()
        self.forget(stream_id)

    def forget(self, stream_id: int) -> None:
        """Tells a stream nothing more: it has ended both ways."""
        if self._streams.pop(stream_id, None) is None:
            return
        self._writer.blocked.discard(stream_id)
        if not self._streams:
            self._lifetime.idle_since = self.loop.time()
            self._close_if_done()
            self._owner.changed(self)

    # What an owner does.

    @property
    def established(self) -> bool:
        """Whether the peer has sent its settings, and acknowledged those of this side."""
        return self._greeted and self.connection.settings_acknowledged

    @property
    def writes(self) -> int:
        """How often something was written to the socket."""
        return self._writer.writes

    @property
    def stream_count(self) -> int:
        """How many streams have not ended."""
        return len(self._streams)

    def ask(self) -> None:
        """Asks the peer whether it is there."""
        self.connection.ping(_KEEPALIVE)
        self._writer.touch()

    def go_away(self, grace: float = math.inf) -> None:
        """Takes no new streams; closes when the last has ended, or is cut when the grace is over.

        GOAWAY is said twice: requests that are under way at the first are still taken (RFC 9113, 6.8).
        """
        if self._writer.shut:
            return
        if grace < math.inf:
            self._ends.append(self.loop.call_later(grace, self.abort, "grace is over"))
        if not self._leaving:
            self._leaving = True
            if self._role is Role.CLIENT:  # which takes no streams, and has nothing to say twice
                self._gone = True
                self._close_if_done()
                return
            self.connection.go_away(last=False)
            self.connection.ping(_GOODBYE)
            self._writer.touch()
            self._ends.append(self.loop.call_later(self._lifetimes.goodbye, self._take_no_more))

    def abort(self, reason: str, code: ErrorCode = ErrorCode.NO_ERROR) -> None:
        """Closes at once; streams are told that it is lost."""
        if self._writer.shut:
            return
        self._reason = reason
        self._writer.part()
        self.connection.go_away(code, reason.encode())
        self._close()

    # What asyncio does.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins: the preface and the settings are sent."""
        self.socket = cast("asyncio.Transport", transport)
        self._writer.attach(self.socket)
        self._lifetime = Lifetime(self, self._lifetimes, self.loop)
        self._owner.opened(self)
        secured: Any = transport.get_extra_info("ssl_object")
        if secured is not None and secured.selected_alpn_protocol() != "h2":
            self.abort("the peer did not agree to speak HTTP/2 (ALPN)")
            return
        self._writer.write()

    def data_received(self, data: bytes) -> None:
        """Takes bytes of the peer."""
        if self._writer.shut:
            return
        self.heard = self.loop.time()
        self.turn.left = self.turn.most
        self._take(data)
        if self.connection.behind and not self._behind:
            self._behind = True
            self.socket.pause_reading()
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Takes more of what came at once, in a turn of its own."""
        if not self._writer.shut:
            self._take(b"")
        if self.connection.behind and not self._writer.shut:
            self.loop.call_soon(self._go_on)
            return
        self._behind = False
        if self._lost:
            self._end_all()
        else:
            self.socket.resume_reading()

    def _take(self, data: bytes) -> None:
        held = self._writer.hold()
        streams = self._streams
        for event in self.connection.receive(data):
            if type(event) is DataReceived:
                if (stream := streams.get(event.stream_id)) is not None:
                    stream.data_received(event)
            elif type(event) is HeadersReceived:
                if (stream := streams.get(event.stream_id)) is not None:
                    stream.headers_received(event)
                elif not (event.trailers or self._writer.shut):
                    self._owner.requested(self, event)
            else:
                self._rare(event)
        if self._late_resets.count:
            self._late_resets.update()
        self._writer.release(held=held)

    def eof_received(self) -> bool:
        """Lets asyncio close: HTTP/2 knows no half-closed connections."""
        return False

    def pause_writing(self) -> None:
        """Lets senders wait: the socket's buffer is full."""
        self._writer.pause()

    def resume_writing(self) -> None:
        """Lets senders go on."""
        self._writer.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends what has not ended; what had come before is taken first."""
        closed = "the peer closed the connection"
        if not self._greeted:
            closed += " before it said that it speaks HTTP/2"
        self._reason = self._reason or str(exc or closed)
        self._lost = True
        if not self._behind:
            self._end_all()

    def _end_all(self) -> None:
        self._writer.shut = True
        self._lifetime.end()
        self._late_resets.stop()
        for handle in self._ends:
            handle.cancel()
        self._end_streams()
        self._owner.disconnected(self, self._reason)

    def _look(self) -> None:
        for event in self.connection.take_events():
            self._rare(event)

    def _drained(self, stream_id: int) -> None:
        if stream := self._streams.get(stream_id):
            stream.drained()

    def _rare(self, event: Event) -> None:
        match event:
            case StreamDrained():
                self._writer.drained(event.stream_id)
            case StreamReset():
                if (stream := self._streams.get(event.stream_id)) is not None:
                    self.forget(event.stream_id)
                    stream.reset(event)
            case RequestTooLarge():
                self.send_headers(event.stream_id, refusal_of(event.sizes), end_stream=True)
            case SettingsReceived():
                if not self._greeted:
                    self._greeted = True
                    self._owner.connected(self)
                self._owner.changed(self)
            case GoAwayReceived():
                self._reason = event.reason or self._reason
                self._owner.going_away(self, event)
            case ConnectionFailed():
                self._reason = event.reason
                self._close()
            case PingAcknowledged() if event.data == _GOODBYE and self._leaving:
                self._take_no_more()

    def _take_no_more(self) -> None:
        if not self._gone and not self._writer.shut:
            self._gone = True
            self.connection.go_away()
            self._writer.touch()
            self._close_if_done()

    def _close_if_done(self) -> None:
        if self._gone and not self._streams:
            self.loop.call_soon(self._end)

    def _end(self) -> None:
        if self._role is Role.SERVER:
            self._close()
        elif not self._streams:  # a call may have begun meanwhile
            self.abort("no calls are left")

    def _close(self) -> None:
        """Sends what is left and the end, and leaves the closing to the peer for a while.

        To close while something comes is to make the peer forget what it has not read. asyncio's TLS is
        not closed by halves: a server's GOAWAY is the end there, and a client has nothing to lose.
        """
        if self._writer.shut:
            return
        self._writer.write()
        self._writer.shut = True
        self._end_streams()
        if self._lost:  # there is nothing to close: `_go_on` ends it
            return
        with suppress(OSError):  # it may have ended meanwhile, untold as yet
            if self.socket.can_write_eof():
                self.socket.write_eof()
            elif self._role is Role.CLIENT:
                self.socket.close()
        self._ends.append(self.loop.call_later(self._lifetimes.linger, self.socket.abort))

    def _end_streams(self) -> None:
        streams = tuple(self._streams.values())
        self._streams.clear()  # what else has come, and is being told, is for nobody
        for stream in streams:
            stream.lost(self._reason)
