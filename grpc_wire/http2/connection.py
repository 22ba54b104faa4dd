"""One connection of HTTP/2, in either role, without any input or output of its own.

Bytes go in by `receive` and come out by `take_output`; what happened is told in events. The one who drives
it owns the socket, the clock and the order of things.

Rule: whatever a peer sends, `receive` raises nothing. A fault of a stream resets that stream; a fault of the
connection queues GOAWAY and is told as `ConnectionFailed`, after which all that comes is passed over. What is
sent on a stream that has ended meanwhile is passed over too, for its end may be under way to the sender.

Source: RFC 9113.
"""

from __future__ import annotations

from collections.abc import Callable

from grpc_wire.headers.block import HeaderBlockError
from grpc_wire.headers.section import Headers
from grpc_wire.http2 import frames
from grpc_wire.http2.errors import ConnectionFault, ErrorCode
from grpc_wire.http2.events import ConnectionFailed, Event, GoAwayReceived, StreamDrained
from grpc_wire.http2.inbound import Inbound
from grpc_wire.http2.limits import DEFAULT, Budget, Limits
from grpc_wire.http2.outbound import Outbound
from grpc_wire.http2.settings import own_settings
from grpc_wire.http2.streams import LARGEST_ID, Role, Stream, Streams

__all__ = ["Connection", "Role"]


class Connection:
    """The state of one connection."""

    def __init__(
        self,
        role: Role,
        limits: Limits = DEFAULT,
        *,
        clock: Callable[[], float],
    ) -> None:
        """Makes a connection whose preface and settings are ready in `take_output`.

        Args:
            role: which side this is.
            limits: what the peer may ask.
            clock: returns seconds that never go back.
        """
        self._role = role
        self._failed = False
        self._preface = frames.PREFACE if role is Role.SERVER else b""
        self._frames = frames.FrameReader(limits.frame, limits.turn_frames)
        control = Budget(limits.control_frames, limits.period, clock)
        self._resets = Budget(limits.resets, limits.period, clock)
        self._streams = Streams(role, self._resets, clock, limits)
        self._outbound = Outbound(self._streams, limits, control)
        if role is Role.CLIENT:
            self._outbound.control(frames.PREFACE)
        self._outbound.control(own_settings(limits, client=role is Role.CLIENT))
        self._inbound = Inbound(self._streams, self._outbound, limits, control)

    def receive(self, data: bytes) -> list[Event]:
        """Takes what came from the peer; returns what happened, of each stream in order.

        No more than `Limits.turn_frames` are looked at; see `behind`.
        """
        if self._failed:
            return []
        try:
            self._take(data)
        except ConnectionFault as fault:
            self._fail(fault)
        except HeaderBlockError as error:
            self._fail(ConnectionFault(ErrorCode.COMPRESSION_ERROR, str(error)))
        return self.take_events()

    @property
    def behind(self) -> bool:
        """Whether to call `receive` again, in a later turn, for what has come and was not looked at."""
        return self._frames.behind and not self._failed

    def _take(self, data: bytes) -> None:
        if self._preface:
            data = self._without_preface(data)
        self._streams.now = self._streams.clock()
        self._inbound.take(self._frames.feed(data))

    def _without_preface(self, data: bytes) -> bytes:
        """Takes the client's preface off what came, as far as it has come (3.4)."""
        size = min(len(self._preface), len(data))
        if data[:size] != self._preface[:size]:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "this is not HTTP/2")
        self._preface = self._preface[size:]
        return data[size:]

    def take_events(self) -> list[Event]:
        """Returns what has happened beside `receive`: what was queued is let out by `take_output` too."""
        events = self._inbound.take_events()
        if self._outbound.drained:
            events += [StreamDrained(i) for i in self._outbound.drained if not self.queued(i)]
            self._outbound.drained.clear()
        return events

    def _fail(self, fault: ConnectionFault) -> None:
        self._failed = self._streams.closing = True
        self._outbound.forget()
        self._streams.open.clear()
        self._streams.lingering.clear()
        last = self._streams.last_from_peer
        self._outbound.control(frames.goaway(last, fault.code, fault.reason.encode()))
        self._inbound.queue(ConnectionFailed(fault.code, fault.reason))

    def take_output(self) -> bytes:
        """Returns what is to be sent, and forgets it; empty if nothing is.

        What waited for room is let out then, so that there may be more output after this, and events in
        `take_events`.
        """
        return self._outbound.take()

    @property
    def has_output(self) -> bool:
        """Whether `take_output` would return something."""
        return bool(self._outbound)

    @property
    def has_events(self) -> bool:
        """Whether `take_events` would return something."""
        return bool(self._inbound.events or self._outbound.drained)

    @property
    def can_open(self) -> bool:
        """Whether `open_stream` may be called now: new streams begin, and are below the peer's limit."""
        streams = self._streams
        return not streams.closing and streams.used < self._outbound.peer.concurrent_streams

    @property
    def open_streams(self) -> int:
        """How many streams are open (either side may still send)."""
        return len(self._streams.open)

    @property
    def lingering(self) -> int:
        """How many streams a client has given up, and resets later; see `reset_lingering`."""
        return len(self._streams.lingering)

    @property
    def peer_max_streams(self) -> int:
        """How many streams the peer lets this side have open at once (SETTINGS_MAX_CONCURRENT_STREAMS)."""
        return self._outbound.peer.concurrent_streams

    @property
    def closing(self) -> bool:
        """Whether GOAWAY was sent or received, or all ids are used: no new streams begin."""
        return self._streams.closing

    @property
    def settings_acknowledged(self) -> bool:
        """Whether the peer has acknowledged this side's settings (6.5.3)."""
        return self._inbound.settings_acknowledged

    @property
    def peer_max_header_list(self) -> int | None:
        """Bytes of the largest header section that the peer takes; None if it has not said."""
        return self._outbound.peer.max_header_list

    def open_stream(
        self,
        headers: Headers,
        data: bytes | None = None,
        begin: Headers = (),
        *,
        end_stream: bool = False,
    ) -> int:
        """Begins a stream as a client; returns its id.

        Args:
            headers: its header section.
            data: all that it sends; None: that is not known yet.
            begin: what stands in front of the headers, and does so in many requests.
            end_stream: whether it sends no data.

        Raises:
            RuntimeError: `can_open` is false.
        """
        streams, outbound = self._streams, self._outbound
        room = streams.used < outbound.peer.concurrent_streams  # as `can_open` says
        if streams.closing or not room or self._role is not Role.CLIENT:
            raise RuntimeError("no stream can be opened")
        stream_id = streams.next_own
        ours, theirs = self._inbound.windows.initial, outbound.peer.initial_window
        stream = Stream(stream_id, theirs, ours, streams.clock())
        streams.next_own += 2
        streams.open[stream_id] = stream
        if data is None:
            outbound.headers(stream, headers, begin, end_stream=end_stream)
        else:
            outbound.request(stream, headers, begin, data)
        if streams.next_own > LARGEST_ID:  # as if the peer takes no more (5.1.1)
            streams.closing = True
            self._inbound.queue(GoAwayReceived(stream_id, ErrorCode.NO_ERROR, b""))
        return stream_id

    def send_headers(self, stream_id: int, headers: Headers, *, end_stream: bool = False) -> None:
        """Sends a header section: that of an answer, or trailers (behind whatever data is queued).

        A server that ends its side so before the request has ended says that it needs no more of it, by
        RST_STREAM with NO_ERROR (8.1). A client whose answer has ended calls `reset` to the same end.
        """
        stream = self._streams.open.get(stream_id)
        if stream is None or stream.sent_end or stream.ending:
            return
        if not stream.answered:
            self._resets.earn()
        self._outbound.headers(stream, headers, end_stream=end_stream)

    def send_data(self, stream_id: int, data: bytes, *, end_stream: bool = False) -> int:
        """Sends data as the peer's windows allow, and queues the rest; returns how much is queued now."""
        stream = self._streams.open.get(stream_id)
        if stream is None or stream.sent_end or stream.ending:
            return 0
        return self._outbound.data(stream, data, end_stream=end_stream)

    def answer(
        self, stream_id: int, head: Headers, data: tuple[bytes, ...], trailers: Headers
    ) -> int:
        """Sends a whole answer at once, as a server; returns how much of it is queued."""
        stream = self._streams.open.get(stream_id)
        if stream is None or stream.sent_end or stream.ending:
            return 0
        if self._resets.spent:
            self._resets.earn()
        return self._outbound.whole(stream, head, data, trailers)

    def queued(self, stream_id: int) -> int:
        """Returns how many bytes of a stream wait for the peer's windows, or for the transport."""
        stream = self._streams.open.get(stream_id)
        return 0 if stream is None else stream.queued

    def reset(self, stream_id: int, code: ErrorCode) -> bool:
        """Ends a stream at once, and drops what is queued; returns whether it had not ended.

        A client that has reset many early (`Limits.early_resets`) tells its server later.
        """
        stream = self._streams.open.get(stream_id)
        if stream is None:
            return False
        self._outbound.drop(stream)
        lingers = self._streams.linger(stream, code)
        self._streams.remember_reset(stream_id)
        if not lingers:
            self._outbound.control(frames.rst_stream(stream_id, code))
        return True

    def reset_lingering(self) -> float | None:
        """Resets the streams that were given up early and are old enough by now.

        Returns:
            Seconds until there are more to reset; None if no stream lingers.
        """
        lingering, now = self._streams.lingering, self._streams.clock()
        for stream_id, each in [*lingering.items()]:
            if each.due <= now:
                del lingering[stream_id]
                self._outbound.control(frames.rst_stream(stream_id, each.code))
        return min((each.due - now for each in lingering.values()), default=None)

    def consumed(self, stream_id: int, size: int) -> None:
        """Says that bytes of a stream were read, so that the peer may send as many again."""
        stream = self._streams.open.get(stream_id)
        if stream is not None:
            self._inbound.windows.consumed(stream, size)

    def expect(self, stream_id: int, size: int) -> None:
        """Says that a message of which `size` bytes are still to come is being waited for.

        The stream's window grows so that it can arrive without a halt.
        """
        stream = self._streams.open.get(stream_id)
        if stream is not None:
            self._inbound.windows.expect(stream, size)

    def ping(self, data: bytes) -> None:
        """Asks the peer whether it is there; `data` are 8 bytes (6.7)."""
        self._outbound.control(frames.frame(frames.PING, 0, 0, data))

    def go_away(
        self, code: ErrorCode = ErrorCode.NO_ERROR, debug: bytes = b"", *, last: bool = True
    ) -> None:
        """Says that no new streams are taken.

        Args:
            code: why.
            debug: more of why, for people.
            last: False for the first of two phases: streams that are under way to here are still
                taken until it is said again (6.8).
        """
        self._streams.closing = True
        self._inbound.going_away |= last  # the last stream never rises again
        known = self._streams.last_from_peer if self._inbound.going_away else LARGEST_ID
        self._outbound.control(frames.goaway(known, code, debug))
