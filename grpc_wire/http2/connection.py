"""One HTTP/2 connection in either role, without I/O.

Bytes go in by `receive` and come out by `take_output`; `receive` and `take_events` return events. The driver
owns socket, clock and scheduling.

Rule: `receive` raises nothing. A stream error resets the stream. A connection error queues GOAWAY and is
reported as `ConnectionFailed`; bytes received after it are ignored. Sending on a stream that has ended is
ignored, too: the event of its end may be on its way to the sender.

Source: RFC 9113.
"""

from __future__ import annotations

from collections.abc import Callable

from grpc_wire.headers.block import HeaderBlockError
from grpc_wire.headers.section import Headers
from grpc_wire.http2 import frames
from grpc_wire.http2.errors import ConnectionFault, ErrorCode
from grpc_wire.http2.events import ConnectionEvent, ConnectionFailed, GoAwayReceived, StreamDrained
from grpc_wire.http2.inbound import Inbound
from grpc_wire.http2.limits import DEFAULT, Budget, Limits
from grpc_wire.http2.outbound import Outbound
from grpc_wire.http2.settings import own_settings
from grpc_wire.http2.streams import LARGEST_ID, Role, Stream, Streams

__all__ = ["Connection", "Role"]


class Connection:
    """The state of one connection.

    Attributes:
        has_backlog: whether frames wait: call `receive` again in a later turn, with new bytes or none.
        peer: what the peer's SETTINGS say.
        open: the streams of which either side may still send, by id.
        ready: output, in pieces, for those who only ask whether there is some.
        drained: streams whose queue was sent to its end; `take_events` tells of them.
        take_output: returns the output; queued data takes its place, so there may be more, and events.
    """

    def __init__(
        self,
        role: Role,
        limits: Limits = DEFAULT,
        *,
        clock: Callable[[], float],
        shared_resets: Budget | None = None,
    ) -> None:
        """Makes a connection whose preface and settings are ready in `take_output`.

        Args:
            role: which side this is.
            limits: what the peer may ask.
            clock: returns seconds that never go back.
            shared_resets: what several connections of one peer have together for `Limits.resets`.
        """
        self._is_client = role is Role.CLIENT
        self._clock = clock
        self._failed = False
        self.has_backlog = False
        self._preface = frames.PREFACE if role is Role.SERVER else b""
        control = Budget(limits.control_frames, limits.period, clock)
        self._resets = Budget(limits.resets, limits.period, clock, shared_resets)
        self._streams = Streams(role, self._resets, clock, limits)
        self._outbound = Outbound(self._streams, limits, control)
        self.peer = self._outbound.peer
        self.open = self._streams.open
        self.ready, self.drained = self._outbound.ready, self._outbound.drained
        self.take_output: Callable[[], bytes] = self._outbound.take_output
        if role is Role.CLIENT:
            self._outbound.send_frame(frames.PREFACE)
        self._outbound.send_frame(own_settings(limits, client=role is Role.CLIENT))
        self._inbound = Inbound(self._streams, self._outbound, limits, control)

    def receive(self, data: bytes) -> list[ConnectionEvent]:
        """Processes received bytes; returns events, of each stream in order.

        At most `Limits.turn_frames` frames are processed; see `has_backlog`.
        """
        if self._failed:
            return []
        inbound = self._inbound
        try:
            if self._preface:
                data = self._without_preface(data)
            self._streams.now = self._clock()
            self.has_backlog = inbound.receive(data)
        except ConnectionFault as fault:
            self._fail(fault)
        except HeaderBlockError as error:
            self._fail(ConnectionFault(ErrorCode.COMPRESSION_ERROR, str(error)))
        return self.take_events() if self._outbound.drained else inbound.take_events()

    def _without_preface(self, data: bytes) -> bytes:
        """Removes the client's preface from received bytes, as far as it has come (3.4)."""
        size = min(len(self._preface), len(data))
        if data[:size] != self._preface[:size]:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "this is not HTTP/2")
        self._preface = self._preface[size:]
        return data[size:]

    def take_events(self) -> list[ConnectionEvent]:
        """Returns events that did not come from `receive`: `take_output` may empty queues."""
        events = self._inbound.take_events()
        if self._outbound.drained:
            events += [StreamDrained(i) for i in self._outbound.drained if not self.queued(i)]
            self._outbound.drained.clear()
        return events

    def _fail(self, fault: ConnectionFault) -> None:
        self._failed = self._streams.closing = True
        self.has_backlog = False
        self._outbound.discard_all()
        self._streams.open.clear()
        self._streams.deferred_resets.clear()
        last = self._streams.last_from_peer
        self._outbound.send_frame(frames.goaway(last, fault.code, fault.reason.encode()))
        self._inbound.queue(ConnectionFailed(fault.code, fault.reason))

    @property
    def has_output(self) -> bool:
        """Whether `take_output` would return something."""
        return bool(self.ready)

    @property
    def last_received(self) -> float:
        """When bytes last came, in seconds of the clock."""
        return self._streams.now

    @property
    def can_open(self) -> bool:
        """Whether `open_stream` is allowed: no GOAWAY, and fewer streams than the peer's limit."""
        streams = self._streams
        used = len(streams.open) + len(streams.deferred_resets)
        return not streams.closing and used < self._outbound.peer.concurrent_streams

    @property
    def open_streams(self) -> int:
        """How many streams are open (either side may still send)."""
        return len(self._streams.open)

    @property
    def deferred_resets(self) -> int:
        """How many streams a client has given up and resets later; see `send_due_resets`."""
        return len(self._streams.deferred_resets)

    @property
    def closing(self) -> bool:
        """Whether GOAWAY was sent or received, or the ids are used up: no new streams."""
        return self._streams.closing

    def watch_sections(self, begun: Callable[[int], None]) -> None:
        """Has `begun` called with the stream of a header section of which more frames have to come (6.10)."""
        self._inbound.on_section_begun = begun

    @property
    def open_section(self) -> int:
        """Stream whose header section is not complete (6.10); 0 if all are."""
        return self._inbound.open_section

    @property
    def settings_acknowledged(self) -> bool:
        """Whether the peer has acknowledged this side's SETTINGS (6.5.3)."""
        return self._inbound.settings_acknowledged

    def open_stream(
        self,
        headers: Headers,
        data: bytes | None = None,
        prefix: Headers = (),
        *,
        end_stream: bool = False,
    ) -> int:
        """Opens a stream as a client; returns its id, or 0 unless `can_open`.

        Args:
            headers: header section of the request, behind `prefix`.
            data: all of the request's data; None: unknown as yet.
            prefix: fields before `headers` that many requests share; their block is cached.
            end_stream: whether the request has no data.

        Raises:
            RuntimeError: this is a server.
        """
        streams, outbound = self._streams, self._outbound
        peer = outbound.peer
        if not self._is_client:
            raise RuntimeError("a server opens no streams")
        used = len(streams.open) + len(streams.deferred_resets)
        if streams.closing or used >= peer.concurrent_streams:
            return 0
        stream_id = streams.next_own
        stream = Stream(
            stream_id, peer.initial_window, self._inbound.windows.initial, self._clock()
        )
        streams.next_own = stream_id + 2
        streams.open[stream_id] = stream
        if data is None:
            outbound.send_headers(stream, headers, prefix, end_stream=end_stream)
        else:
            outbound.send_request(stream, headers, prefix, data)
        if streams.next_own > LARGEST_ID:  # no ids are left: as after GOAWAY (5.1.1)
            streams.closing = True
            self._inbound.queue(GoAwayReceived(stream_id, ErrorCode.NO_ERROR, b""))
        return stream_id

    def send_headers(self, stream_id: int, headers: Headers, *, end_stream: bool = False) -> None:
        """Sends a header section: of a response, or trailers (behind queued data).

        A server that ends its side before the request has ended resets the stream with NO_ERROR (8.1). A
        client whose response has ended calls `reset` to the same end.
        """
        stream = self._streams.open.get(stream_id)
        if stream is None or stream.sent_end or stream.end_queued:
            return
        if not stream.has_sent:
            self._resets.earn()
        self._outbound.send_headers(stream, headers, end_stream=end_stream)

    def send_data(self, stream_id: int, data: bytes, *, end_stream: bool = False) -> int:
        """Sends data as the peer's windows allow, and queues the rest; returns how many bytes are queued."""
        stream = self._streams.open.get(stream_id)
        if stream is None or stream.sent_end or stream.end_queued:
            return 0
        return self._outbound.send_data(stream, data, end_stream=end_stream)

    def send_response(
        self, stream_id: int, head: Headers, data: list[bytes], trailers: Headers
    ) -> int:
        """Sends a complete response as a server; returns how many bytes are queued."""
        stream = self._streams.open.get(stream_id)
        if stream is None or stream.sent_end or stream.end_queued:
            return 0
        if self._resets.spent:
            self._resets.earn()
        return self._outbound.send_response(stream, head, data, trailers)

    def send_whole(
        self,
        stream_id: int,
        head: Headers,
        data: bytes,
        prefix: Headers = (),
        trailers: Headers = (),
        literals: bytes = b"",
    ) -> int:
        """Sends a complete response as a server; returns how many bytes are queued.

        Args:
            stream_id: of the response.
            head: fields behind `prefix`.
            data: the content.
            prefix: fields that many responses share; their block is cached, as that of the trailers is.
            trailers: empty: there are none.
            literals: fields behind `head` that `encode_literals` has encoded.
        """
        stream = self._streams.open.get(stream_id)
        if stream is None or stream.sent_end or stream.end_queued:
            return 0
        if self._resets.spent:
            self._resets.earn()
        return self._outbound.send_whole(stream, head, data, prefix, trailers, literals)

    def send_informational(self, stream_id: int, headers: Headers) -> None:
        """Sends an informational response as a server. For `Limits.resets` it is no response."""
        stream = self._streams.open.get(stream_id)
        if stream is not None:
            self._outbound.send_informational(stream, headers)

    def prioritise(self, stream_id: int, urgency: int) -> None:
        """Sets in which order streams that wait for the peer are sent: 0 first, 7 last (RFC 9218, 4.1).

        Unless the peer has, by PRIORITY_UPDATE.
        """
        stream = self._streams.open.get(stream_id)
        if stream is not None and not stream.is_updated:
            self._outbound.set_urgency(stream, urgency)

    def queued(self, stream_id: int) -> int:
        """Returns how many bytes of a stream wait for the peer's windows, or for the transport."""
        stream = self._streams.open.get(stream_id)
        return 0 if stream is None else stream.queued

    def reset(self, stream_id: int, code: ErrorCode) -> bool:
        """Resets a stream, and discards its queue; returns whether it was open.

        A client that has reset too many early (`Limits.early_resets`) sends RST_STREAM later.
        """
        stream = self._streams.open.get(stream_id)
        if stream is None:
            return False
        self._outbound.discard(stream)
        deferred = self._streams.defer_reset(stream, code)
        self._streams.remember_reset(stream_id)
        if not deferred:
            self._outbound.send_frame(frames.rst_stream(stream_id, code))
        return True

    def send_due_resets(self) -> float | None:
        """Sends the deferred resets that are due.

        Returns:
            Seconds until the next is due; None if there is none.
        """
        deferred, now = self._streams.deferred_resets, self._streams.clock()
        for stream_id, each in [*deferred.items()]:
            if each.due <= now:
                del deferred[stream_id]
                self._outbound.send_frame(frames.rst_stream(stream_id, each.code))
        return min((each.due - now for each in deferred.values()), default=None)

    def consumed(self, stream_id: int, size: int) -> None:
        """Counts bytes of a stream as read, so that the peer may send as many again."""
        stream = self._streams.open.get(stream_id)
        if stream is not None:
            self._inbound.windows.consumed(stream, size)

    def expect(self, stream_id: int, size: int) -> None:
        """Grants a stream's window the `size` bytes still to come of a message.

        The whole message arrives without a further WINDOW_UPDATE.
        """
        stream = self._streams.open.get(stream_id)
        if stream is not None:
            self._inbound.windows.expect(stream, size)

    def ping(self, data: bytes) -> None:
        """Sends PING with 8 bytes of data (6.7)."""
        self._outbound.send_frame(frames.frame(frames.PING, 0, 0, data))

    def go_away(
        self, code: ErrorCode = ErrorCode.NO_ERROR, debug: bytes = b"", *, last: bool = True
    ) -> None:
        """Sends GOAWAY: no new streams are accepted.

        Args:
            code: why.
            debug: text, for people.
            last: False for the first of two GOAWAYs: streams under way to here are still accepted until the
                second (6.8).
        """
        self._streams.closing = True
        self._inbound.going_away |= last  # the last stream id must not increase (6.8)
        known = self._streams.last_from_peer if self._inbound.going_away else LARGEST_ID
        self._outbound.send_frame(frames.goaway(known, code, debug))
