"""Receiving: the effect of each frame type, and the errors that it may be.

Source: RFC 9113, sections 5 and 6; each method names its section.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from grpc_wire.headers.decoder import HeaderDecoder
from grpc_wire.headers.section import Headers, HeaderSection
from grpc_wire.http2 import frames
from grpc_wire.http2.errors import ConnectionFault, ErrorCode, StreamFault
from grpc_wire.http2.events import (
    ConnectionEvent,
    DataReceived,
    GoAwayReceived,
    HeadersReceived,
    PingAcknowledged,
    RequestTooLarge,
    SettingsReceived,
    StreamReset,
)
from grpc_wire.http2.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEAD_SIZE,
    HEADERS,
    ID_BITS,
    PADDED,
    PRIORITIZED,
    Frame,
    ReceiveBuffer,
    read_head,
)
from grpc_wire.http2.header_sections import PRIORITY_SIZE, HeaderSections
from grpc_wire.http2.limits import CONTROL_FRAMES_EARNED, TINY, WINDOWS_MOVED, Budget, Limits
from grpc_wire.http2.outbound import Outbound
from grpc_wire.http2.priority import read_update
from grpc_wire.http2.receive_windows import ReceiveWindows
from grpc_wire.http2.streams import LARGEST_ID, Role, Stream, Streams

_PROTOCOL: Final = ErrorCode.PROTOCOL_ERROR
_INFORMATIONAL: Final = 200
"""Statuses below this are informational responses (RFC 9110, 15.2)."""
_SHAPE: Final = END_HEADERS | PADDED | PRIORITIZED
"""Flags of HEADERS that say how the block is laid out in it."""
_WHOLE: Final = END_HEADERS | END_STREAM
"""Flags of HEADERS that are the last of their stream."""
_NO_FIELDS: Final[Headers] = ()
_SMALL: Final = 1024
"""Bytes of data beyond which nothing more is joined to an event."""
_LENGTH: Final = "content-length says something else"
_ITSELF: Final = "a stream depends on itself"
_TOO_LARGE: Final = "Received metadata larger than max"


class Inbound:
    """Processes the frames that one connection receives."""

    def __init__(
        self, streams: Streams, outbound: Outbound, limits: Limits, control: Budget
    ) -> None:
        """Takes the state that it shares with the sending side; `control` is the budget of control frames."""
        self.events: list[ConnectionEvent] = []
        self.going_away = False
        """Whether new streams of the peer are ignored."""
        self.settings_acknowledged = False
        self.on_section_begun: Callable[[int], None] = _ignore
        """Called with the stream of a header section of which more frames have to come (6.10)."""
        self.windows = ReceiveWindows(outbound, limits)
        self._pending: DataReceived | HeadersReceived | None = None
        """The latest event, to which frames of its stream may still be joined. The next event, or
        `take_events`, queues it."""
        self._streams = streams
        self._open = streams.open
        self._early_resets = streams.early_resets
        self._serving = streams.role is Role.SERVER
        self._outbound = outbound
        self._limits = limits
        self._control = control
        self._decoder = HeaderDecoder(limits.header_list)
        self._known = self._decoder.known
        self._sections = HeaderSections(self._decoder, limits)
        self._max_buffered = self._sections.max_buffered
        self._max_streams = limits.concurrent_streams
        self._extended_connect = limits.extended_connect
        self._too_long = limits.frame + 1 << 8
        """The first word of a frame that is too long, or above it."""
        self._turn_frames = limits.turn_frames
        self._received = ReceiveBuffer()
        self._expected_kind: int | None = frames.SETTINGS
        """The only frame type that may come now; None: any."""
        self._last_for_peer = LARGEST_ID
        """Last stream that the peer will process, from its GOAWAY."""
        self._receive_frame: dict[int, Callable[[Frame], None]] = {
            frames.PRIORITY: self._priority,
            frames.RST_STREAM: self._rst_stream,
            frames.SETTINGS: self._settings,
            frames.PUSH_PROMISE: self._push_promise,
            frames.PING: self._ping,
            frames.GOAWAY: self._goaway,
            frames.WINDOW_UPDATE: self._window_update,
            frames.CONTINUATION: self._continuation,
            frames.PRIORITY_UPDATE: self._priority_update,
        }

    def receive(self, data: bytes) -> bool:
        """Processes the frames in received bytes; a stream error resets its stream.

        At most `Limits.turn_frames`; a request or a response that came in one piece counts as three.

        Returns:
            Whether more frames wait for the next call.

        Raises:
            ConnectionFault: a connection error.
            HeaderBlockError: a header block cannot be decoded.
        """
        received = self._received
        at = 0
        if not received.is_empty:
            data, at = received.join(data)
        size, left, too_long = len(data), self._turn_frames, self._too_long
        last = size - HEAD_SIZE
        wanted = HEAD_SIZE
        while at <= last:
            if left <= 0:
                received.postpone(data, at)
                return True
            word, flags, stream_id = read_head(data, at)
            if word >= too_long:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {word >> 8} bytes")
            start = at + HEAD_SIZE
            end = start + (word >> 8)
            if end > size:
                wanted = end - at
                break
            left -= 1
            at = end
            try:
                if word & 0xFF == HEADERS and self._expected_kind is None:
                    at = self._receive_headers(flags, stream_id, data, start, end)
                    left -= 2 * (at > end)
                elif word & 0xFF == DATA and self._expected_kind is None:
                    self._data(flags, stream_id & ID_BITS, data[start:end])
                else:
                    self._frame(word & 0xFF, flags, stream_id & ID_BITS, data[start:end])
            except StreamFault as fault:
                self._reset(fault)
        if at < size:
            received.keep(data[at:], wanted)
        return False

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if self._expected_kind is not None:
            self._check_expected(kind, flags)
        self._receive_frame.get(kind, self._unknown)(Frame(kind, flags, stream_id, payload))

    def take_events(self) -> list[ConnectionEvent]:
        """Returns the events since the last call, in the order in which their frames came."""
        events, pending = self.events, self._pending
        if pending is not None:
            events.append(pending)
            self._pending = None
        self.events = []
        return events

    def queue(self, event: ConnectionEvent) -> None:
        """Adds an event behind all others; from then on it is not changed."""
        self._complete()
        self.events.append(event)

    def _complete(self) -> None:
        """Queues the pending event: nothing more is added to it."""
        if self._pending is not None:
            self.events.append(self._pending)
            self._pending = None

    def _reset(self, fault: StreamFault) -> None:
        stream_id = fault.stream_id
        stream = self._open.get(stream_id)
        known = stream is not None and (stream.received_headers or not self._serving)
        if stream is not None:
            self._streams.count_reset(stream)
            self._outbound.discard(stream)
        if self._serving:
            self._spend("faults of streams")
        self._streams.remember_reset(stream_id)
        self._outbound.send_reply(frames.rst_stream(stream_id, fault.code))
        if known:
            self.queue(StreamReset(stream_id, fault.code, fault.reason, by_peer=False))

    def _check_expected(self, kind: int, flags: int) -> None:
        """3.4 and 6.10."""
        if self._expected_kind == frames.SETTINGS and (
            kind != frames.SETTINGS or flags & frames.ACK
        ):
            raise ConnectionFault(_PROTOCOL, "the first frame is not SETTINGS")
        if kind != self._expected_kind:
            raise ConnectionFault(_PROTOCOL, "a header section is not complete")
        self._expected_kind = None

    def _receive_headers(self, flags: int, stream_id: int, data: bytes, start: int, at: int) -> int:
        """Processes HEADERS, by the role; see `_request`."""
        if self._serving:
            return self._request(flags, stream_id, data, start, at)
        return self._response(flags, stream_id, data, start, at)

    def _request(self, flags: int, stream_id: int, data: bytes, start: int, at: int) -> int:
        """Processes HEADERS; in one step if they open a stream, together with the DATA that end it.

        Args:
            flags: of the frame.
            stream_id: of the frame, with the reserved bit.
            data: what was received.
            start: offset of the frame's payload.
            at: offset behind it.

        Returns:
            The offset behind what was processed.
        """
        block = data[start:at]
        if flags & ~END_STREAM != END_HEADERS or len(block) > self._max_buffered:
            self._headers(flags, stream_id & ID_BITS, block)
            return at
        section = self._decoder.decode(block)
        streams = self._streams
        if (
            stream_id <= streams.last_from_peer
            or not stream_id & 1
            or stream_id > ID_BITS
            or self.going_away
            or len(self._open) >= self._max_streams
            or section.fault
            or section.too_large
            or not (section.is_request or self._is_request(section))
        ):
            if not stream_id & ID_BITS:
                frames.check_of_stream(Frame(HEADERS, flags, 0, block))
            self._section(stream_id & ID_BITS, section, flags)
            return at
        length, end, content = section.content_length, at, b""
        if flags == END_HEADERS and at + HEAD_SIZE <= len(data):
            word, of_content, content_id = read_head(data, at)
            start = at + HEAD_SIZE
            behind = start + (word >> 8)
            if (
                word & 0xFF == DATA
                and of_content == END_STREAM
                and content_id == stream_id
                and word < self._too_long
                and behind <= len(data)
            ):
                flags, end, content = _WHOLE, behind, data[start:behind]
        size, windows = len(content), self.windows
        if flags != _WHOLE or size > windows.initial or (length is not None and length != size):
            self._section(stream_id, section, flags & ~END_STREAM if end > at else flags)
            return at
        self._outbound.check_peer_reads()  # flow control does not bound response headers
        streams.last_from_peer = stream_id
        windows.left -= size
        if windows.left * 2 <= windows.size:
            windows.update_connection()
        if self._control.spent:
            self._control.earn(CONTROL_FRAMES_EARNED * (1 + (size >= TINY)))
        theirs, ours = self._outbound.peer.initial_window, windows.initial - size
        self._open[stream_id] = Stream(stream_id, theirs, ours, streams.now, size)
        if self._pending is not None:
            self.events.append(self._pending)
        prefix = _NO_FIELDS if section.prefix is None else section.prefix.headers
        end_stream, is_trailers = True, False
        self._pending = HeadersReceived(
            stream_id, section.headers, end_stream, is_trailers, prefix, content
        )
        return end

    def _is_request(self, section: HeaderSection) -> bool:
        try:
            section.check_request(extended_connect=self._extended_connect)
        except ValueError:
            return False
        return True

    def _response(self, flags: int, stream_id: int, data: bytes, start: int, at: int) -> int:
        """Processes HEADERS; in one step with DATA and trailers that came with them, if the blocks are known.

        Arguments and return value are those of `_request`.
        """
        end = self._whole_response(stream_id, data, start, at) if flags == END_HEADERS else 0
        if not end:
            self._headers(flags, stream_id & ID_BITS, data[start:at])
        return end or at

    def _whole_response(self, stream_id: int, data: bytes, start: int, at: int) -> int:
        """Processes a response in one step; returns the offset behind it.

        Returns 0, and has done nothing, if anything about it is unusual.
        """
        stream, known, last_head = self._open.get(stream_id), self._known, len(data) - HEAD_SIZE
        first = known.get(data[start:at])
        if (
            stream is None
            or stream.received_headers
            or first is None
            or not first.is_plain_response
            or at > last_head
        ):
            return 0
        word, flags, of_content = read_head(data, at)
        start = at + HEAD_SIZE
        at = start + (word >> 8)
        if word & 0xFF != DATA or flags or of_content != stream_id or at > last_head:
            return 0
        size, flags, of_trailers = read_head(data, at)
        end = at + HEAD_SIZE + (size >> 8)
        if (
            size & 0xFF != HEADERS
            or flags != _WHOLE
            or of_trailers != stream_id
            or end > len(data)
            or word >= self._too_long
            or size >= self._too_long
        ):
            return 0
        last, size, windows = known.get(data[at + HEAD_SIZE : end]), at - start, self.windows
        if last is None or not last.is_trailers or not TINY <= size <= stream.receive_window:
            return 0
        windows.left -= size
        if windows.left * 2 <= windows.size:
            windows.update_connection()
        if self._control.spent:
            self._control.earn(3 * CONTROL_FRAMES_EARNED)
        if self._early_resets.spent:
            self._early_resets.earn()
        stream.receive_window -= size
        stream.unread += size
        stream.received_headers = stream.received_end = True
        if stream.sent_end:
            del self._open[stream_id]
        if self._pending is not None:
            self.events.append(self._pending)
        end_stream, is_trailers = True, False
        self._pending = HeadersReceived(
            stream_id,
            first.headers,
            end_stream,
            is_trailers,
            _NO_FIELDS,
            data[start:at],
            last.headers,
        )
        return end

    def _data(self, flags: int, stream_id: int, data: bytes) -> None:
        """6.1; flow control counts the whole payload, padding included."""
        stream = self._open.get(stream_id)
        if stream is None or stream.received_end:
            self._data_after_end(Frame(DATA, flags, stream_id, data))
            return
        size = len(data)
        self.windows.count_data(stream, size)
        if flags & PADDED:
            data = frames.without_padding(flags, data)
            self.windows.consumed(stream, size - len(data))
        if not stream.received_headers:
            raise StreamFault(stream_id, _PROTOCOL, "data before headers")
        end_stream = flags & END_STREAM != 0
        if stream.content_left is not None and not stream.count_content(
            len(data), end_stream=end_stream
        ):
            raise StreamFault(stream_id, _PROTOCOL, _LENGTH)
        if len(data) < TINY:
            self._small_data(data, end_stream=end_stream)
        elif self._control.spent:
            self._control.earn(CONTROL_FRAMES_EARNED)
        if end_stream:
            self._end(stream)
        pending = self._pending
        if pending is None:
            self._pending = DataReceived(stream_id, data, end_stream)
        elif pending.stream_id == stream_id and len(pending.data) < _SMALL:
            pending.data += data
            pending.end_stream = end_stream
        else:
            self.events.append(pending)
            self._pending = DataReceived(stream_id, data, end_stream)

    def _end(self, stream: Stream) -> None:
        """Ends the peer's side of a stream."""
        stream.received_end = True
        if stream.sent_end:
            del self._open[stream.id]

    def _small_data(self, data: bytes, *, end_stream: bool) -> None:
        """Counts a DATA frame below `TINY` bytes: it is of use only as an end."""
        if not end_stream:
            self._spend("empty frames")
        elif not (data or self._serving or isinstance(self._pending, DataReceived)):
            self._complete()  # joined to its head, this would look like a trailers-only response

    def _data_after_end(self, frame: Frame) -> None:
        """Counts DATA of a stream that has ended (5.1).

        What may have been under way when this side reset the stream is free.
        """
        stream = self._stream_of(frame)
        size = len(frame.payload)
        self.windows.count_closed(size)
        reset = self._streams.reset_stream(frame.stream_id)
        if reset is None:
            under_way = stream is None and self.going_away and size >= TINY
        else:
            under_way = reset.allows_data(size)
        if not under_way:
            self._spend("frames of closed streams")
        if stream is not None:
            raise StreamFault(stream.id, ErrorCode.STREAM_CLOSED, "data after its end")
        if reset is None and not self.going_away:
            self._outbound.send_reply(frames.rst_stream(frame.stream_id, ErrorCode.STREAM_CLOSED))

    def _headers(self, flags: int, stream_id: int, block: bytes) -> None:
        """6.2; most frames are a complete section without padding or priority."""
        if stream_id and flags & _SHAPE == END_HEADERS and len(block) <= self._max_buffered:
            self._section(stream_id, self._decoder.decode(block), flags)
            return
        section = self._sections.add_headers(Frame(HEADERS, flags, stream_id, block))
        if flags & PRIORITIZED and frames.depends_on_itself(
            stream_id, block[flags & PADDED != 0 :]
        ):
            raise ConnectionFault(_PROTOCOL, _ITSELF)
        if section is None:
            self._expected_kind = frames.CONTINUATION
            self.on_section_begun(stream_id)
        else:
            self._section(*section)

    @property
    def open_section(self) -> int:
        """Stream whose header section is not complete; 0 if all are."""
        return self._sections.open_stream

    def _continuation(self, frame: Frame) -> None:
        """6.10."""
        section = self._sections.add_continuation(frame)
        if section is None:
            self._expected_kind = frames.CONTINUATION
        else:
            self._section(*section)

    def _section(self, stream_id: int, section: HeaderSection, flags: int) -> None:
        stream = self._open.get(stream_id) or self._open_stream(stream_id)
        if stream is None:
            self._reset_deferred(stream_id, flags)
            return
        if stream.received_end or section.fault or section.too_large:
            self._refuse(stream, section, flags)
            return
        trailers = stream.received_headers
        end_stream = flags & END_STREAM != 0
        try:
            if not self._check_section(stream, section, flags):
                return
        except ValueError as error:
            raise StreamFault(stream_id, _PROTOCOL, str(error)) from error
        if self._control.spent:
            self._control.earn(CONTROL_FRAMES_EARNED)
        if self._early_resets.spent and not trailers:
            self._early_resets.earn()
        stream.received_headers = True
        if end_stream:
            self._end(stream)
        pending = self._pending
        if pending is not None:
            if trailers and pending.stream_id == stream_id:
                pending.end_stream, pending.trailers = True, section.headers
                return
            self.events.append(pending)
        prefix = () if section.prefix is None else section.prefix.headers
        self._pending = HeadersReceived(stream_id, section.headers, end_stream, trailers, prefix)

    def _refuse(self, stream: Stream, section: HeaderSection, flags: int) -> None:
        """Refuses a section. A request that is too large becomes an event, so that it gets a response.

        Raises:
            StreamFault: the stream is to be reset.
        """
        if stream.received_end:
            raise StreamFault(stream.id, ErrorCode.STREAM_CLOSED, "headers after its end")
        if section.fault:
            raise StreamFault(stream.id, _PROTOCOL, section.fault)
        sizes = f"{section.size} vs. {self._limits.header_list}"
        if stream.received_headers or not self._serving:
            text = f"{_TOO_LARGE} ({sizes})"
            raise StreamFault(stream.id, ErrorCode.ENHANCE_YOUR_CALM, text)
        stream.received_headers = True
        stream.received_end = flags & END_STREAM != 0
        self.queue(RequestTooLarge(stream.id, sizes))

    def _check_section(self, stream: Stream, section: HeaderSection, flags: int) -> bool:
        """Checks a section by the rules of its kind; returns False for an informational response.

        Raises:
            ValueError: it is malformed; why.
        """
        if stream.received_headers:
            if not flags & END_STREAM:
                raise ValueError("trailers do not end the stream")
            section.check_trailers()
        elif self._serving:
            stream.content_left = section.check_request(extended_connect=self._extended_connect)
        else:
            status, stream.content_left = section.check_response()
            if status < _INFORMATIONAL:
                if flags & END_STREAM:
                    raise ValueError("an informational answer ends the stream")
                self._spend("informational answers")
                return False
        if stream.content_left and flags & END_STREAM:
            raise ValueError(_LENGTH)
        return True

    def _open_stream(self, stream_id: int) -> Stream | None:
        """Opens a stream for the peer; None if its headers are to be ignored (5.1.1, 5.1.2)."""
        streams = self._streams
        if not (self._serving and stream_id % 2 and stream_id > streams.last_from_peer):
            self._check_late_headers(stream_id)
            return None
        if self.going_away:
            return None
        self._outbound.check_peer_reads()  # flow control does not bound response headers
        streams.last_from_peer = stream_id
        if len(self._open) >= self._max_streams:
            self._spend("streams")
            streams.remember_reset(stream_id, self.windows.initial)
            self._outbound.send_reply(frames.rst_stream(stream_id, ErrorCode.REFUSED_STREAM))
            return None
        ours, theirs = self.windows.initial, self._outbound.peer.initial_window
        stream = self._open[stream_id] = Stream(stream_id, theirs, ours, streams.now)
        return stream

    def _reset_deferred(self, stream_id: int, flags: int) -> None:
        """Sends a deferred reset, because the server responds now; not if that ends the stream."""
        deferred = self._streams.deferred_resets.pop(stream_id, None)
        if deferred is not None and not (deferred.sent_end and flags & END_STREAM):
            self._outbound.send_frame(frames.rst_stream(stream_id, deferred.code))

    def _check_late_headers(self, stream_id: int) -> None:
        """Checks that headers of a closed stream may have been under way when it was reset.

        A client may have reset more streams than it remembers, so there they only count.
        """
        streams = self._streams
        reset = streams.reset_stream(stream_id)
        if reset is not None and reset.sections and not self._serving:
            reset.sections -= 1
        elif reset is not None or not (self._serving or streams.is_idle(stream_id)):
            self._spend("headers of closed streams")
        elif streams.is_idle(stream_id):
            raise ConnectionFault(_PROTOCOL, f"stream {stream_id} is not the peer's to open")
        else:
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, f"stream {stream_id} was closed")

    # Frames that carry neither headers nor data.

    def _unknown(self, _frame: Frame) -> None:
        """4.1; frames of unknown types are ignored."""
        self._spend("unknown frames")

    def _spend(self, what: str, times: int = 1) -> None:
        if not all(self._control.spend() for _ in range(times)):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, f"too many {what}")

    def _stream_of(self, frame: Frame) -> Stream | None:
        """Returns the stream of a frame; None if it is closed. An idle stream is a connection error (5.1)."""
        frames.check_of_stream(frame)
        stream = self._streams.open.get(frame.stream_id)
        if stream is None and self._streams.is_idle(frame.stream_id):
            by_peer = self._streams.role is Role.SERVER and frame.stream_id % 2 == 1
            if not (by_peer and self.going_away):  # streams past a GOAWAY are passed over (6.8)
                raise ConnectionFault(_PROTOCOL, f"stream {frame.stream_id} is idle")
        return stream

    def _priority(self, frame: Frame) -> None:
        """6.3; deprecated, checked and ignored."""
        frames.check_of_stream(frame)
        self._spend("PRIORITY frames")
        is_open = frame.stream_id in self._streams.open
        if len(frame.payload) != PRIORITY_SIZE and is_open:
            raise StreamFault(frame.stream_id, ErrorCode.FRAME_SIZE_ERROR, "PRIORITY")
        frames.check_size(frame, PRIORITY_SIZE)  # a closed stream cannot be reset
        if frames.depends_on_itself(frame.stream_id, frame.payload):
            if is_open:
                raise StreamFault(frame.stream_id, _PROTOCOL, _ITSELF)
            raise ConnectionFault(_PROTOCOL, _ITSELF)

    def _priority_update(self, frame: Frame) -> None:
        """RFC 9218, 7.1; only a request that has come is looked up: the others say it in their fields."""
        frames.check_of_connection(frame)
        if not self._serving:
            raise ConnectionFault(_PROTOCOL, "PRIORITY_UPDATE of a server")
        self._spend("PRIORITY_UPDATE frames")
        stream_id, urgency = read_update(frame.payload)
        if (stream := self._open.get(stream_id)) is not None:
            stream.is_updated = True
            self._outbound.set_urgency(stream, urgency)

    def _rst_stream(self, frame: Frame) -> None:
        """6.4."""
        frames.check_size(frame, 4)
        stream = self._stream_of(frame)
        if stream is None:
            if self._streams.deferred_resets.pop(frame.stream_id, None) is None:
                self._spend("RST_STREAM frames")
            return
        self._streams.count_reset(stream)
        self._reset_by_peer(stream, frames.read_uint32(frame.payload), "reset by the peer")

    def _reset_by_peer(self, stream: Stream, code: int, reason: str) -> None:
        self._outbound.discard(stream)
        self._streams.close(stream)
        self.queue(StreamReset(stream.id, code, reason, by_peer=True))

    def _settings(self, frame: Frame) -> None:
        """6.5."""
        frames.check_of_connection(frame)
        self._spend("SETTINGS frames")
        if frame.flags & frames.ACK:
            frames.check_size(frame, 0)
            self.settings_acknowledged = True
            self._decoder.allow_table(self._limits.header_table)
            self.windows.settings_acknowledged(self._streams.open.values())
            return
        if len(frame.payload) % 6:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS")
        if self._outbound.apply_settings(
            frame.payload, from_server=self._streams.role is Role.CLIENT
        ):
            moved = len(self._streams.open) // WINDOWS_MOVED
            self._spend("SETTINGS that move windows", moved)
        self.queue(SettingsReceived(self._outbound.peer.concurrent_streams))

    def _push_promise(self, _frame: Frame) -> None:
        """6.6; a connection error: a client disables push by ENABLE_PUSH, and a client never promises."""
        raise ConnectionFault(_PROTOCOL, "PUSH_PROMISE")

    def _ping(self, frame: Frame) -> None:
        """6.7."""
        frames.check_of_connection(frame)
        frames.check_size(frame, 8)
        self._spend("PING frames")
        if frame.flags & frames.ACK:
            self.queue(PingAcknowledged(frame.payload))
        else:
            self._outbound.send_reply(frames.frame(frames.PING, frames.ACK, 0, frame.payload))

    def _goaway(self, frame: Frame) -> None:
        """6.8; streams that the peer will not process may be retried (8.7)."""
        frames.check_of_connection(frame)
        self._spend("GOAWAY frames")
        if len(frame.payload) < 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY")
        last, code, debug = frames.read_goaway(frame.payload)
        last = self._last_for_peer = min(last, self._last_for_peer)
        self._streams.closing = True
        if self._streams.role is Role.CLIENT:
            for stream_id in [each for each in self._streams.deferred_resets if each > last]:
                del self._streams.deferred_resets[stream_id]
            for stream in [s for s in self._streams.open.values() if s.id > last]:
                self._reset_by_peer(stream, ErrorCode.REFUSED_STREAM, "not processed")
        self.queue(GoAwayReceived(last, code, debug))

    def _window_update(self, frame: Frame) -> None:
        """6.9."""
        frames.check_size(frame, 4)
        self._spend("WINDOW_UPDATE frames")
        increment = frames.read_increment(frame.payload)
        if not frame.stream_id:
            if not increment:
                raise ConnectionFault(_PROTOCOL, "a window is widened by nothing")
            self._outbound.add_window(increment)
            return
        stream = self._stream_of(frame)
        if stream is None:
            return
        if not increment:
            raise StreamFault(stream.id, _PROTOCOL, "a window is widened by nothing")
        self._outbound.add_stream_window(stream, increment)


def _ignore(_stream_id: int) -> None: ...
