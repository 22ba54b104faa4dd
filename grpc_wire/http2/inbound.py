"""All that comes in: each kind of frame, what it means where it stands, and what is wrong with it.

Source: RFC 9113, sections 5 and 6; each method names its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from grpc_wire.headers.decoder import HeaderDecoder
from grpc_wire.headers.section import HeaderSection
from grpc_wire.http2 import frames
from grpc_wire.http2.errors import ConnectionFault, ErrorCode, StreamFault
from grpc_wire.http2.events import (
    DataReceived,
    Event,
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
    HEADERS,
    PADDED,
    PRIORITIZED,
    Frame,
)
from grpc_wire.http2.header_sections import PRIORITY_SIZE, HeaderSections
from grpc_wire.http2.limits import CONTROL_FRAMES_EARNED, TINY, WINDOWS_MOVED, Budget, Limits
from grpc_wire.http2.outbound import Outbound
from grpc_wire.http2.receive_windows import ReceiveWindows
from grpc_wire.http2.streams import LARGEST_ID, Role, Stream, Streams

_PROTOCOL: Final = ErrorCode.PROTOCOL_ERROR
_INFORMATIONAL: Final = 200
"""A status below this is not the answer yet (RFC 9110, 15.2)."""
_SHAPE: Final = END_HEADERS | PADDED | PRIORITIZED
"""Of HEADERS, the flags that say how the block lies in it."""
_SMALL: Final = 1024
"""Bytes of an event to which more are added."""
_LENGTH: Final = "content-length says something else"
_TOO_LARGE: Final = "Received metadata larger than max"


class Inbound:
    """What the frames of one connection mean."""

    def __init__(
        self, streams: Streams, outbound: Outbound, limits: Limits, control: Budget
    ) -> None:
        """Takes what it shares with the sending side."""
        self.events: list[Event] = []
        self.going_away = False
        """Whether streams that the peer opens from now on are passed over."""
        self.settings_acknowledged = False
        self.windows = ReceiveWindows(outbound, limits)
        self._pending: DataReceived | HeadersReceived | None = None
        """The latest event, to which frames of its stream may still be added; queued by the next event, or by
        `take_events`."""
        self._streams = streams
        self._open = streams.open
        self._early_resets = streams.early_resets
        self._serving = streams.role is Role.SERVER
        self._outbound = outbound
        self._limits = limits
        self._control = control
        self._decoder = HeaderDecoder(limits.header_list)
        self._sections = HeaderSections(self._decoder, limits)
        self._kept = self._sections.kept
        self._most_open = limits.concurrent_streams
        self._awaited: int | None = frames.SETTINGS
        """The only kind of frame that may come now, if there is but one."""
        self._peer_last = LARGEST_ID
        """The last stream that the peer will process, once it has said so."""
        self._on: dict[int, Callable[[Frame], None]] = {
            frames.PRIORITY: self._priority,
            frames.RST_STREAM: self._rst_stream,
            frames.SETTINGS: self._settings,
            frames.PUSH_PROMISE: self._push_promise,
            frames.PING: self._ping,
            frames.GOAWAY: self._goaway,
            frames.WINDOW_UPDATE: self._window_update,
            frames.CONTINUATION: self._continuation,
        }

    def take(self, received: Iterable[tuple[int, int, int, bytes]]) -> None:
        """Takes frames, of which most are DATA and HEADERS; a fault of a stream resets that stream.

        Raises:
            ConnectionFault: the connection is at an end.
        """
        for kind, flags, stream_id, payload in received:
            try:
                if self._awaited is not None:
                    self._check_awaited(kind, flags)
                if kind == DATA:
                    self._data(flags, stream_id, payload)
                elif kind == HEADERS:
                    self._headers(flags, stream_id, payload)
                else:
                    self._on.get(kind, self._unknown)(Frame(kind, flags, stream_id, payload))
            except StreamFault as fault:
                self._reset(fault)

    def take_events(self) -> list[Event]:
        """Returns the events since the last call, in the order in which their frames came."""
        events, pending = self.events, self._pending
        if pending is not None:
            events.append(pending)
            self._pending = None
        self.events = []
        return events

    def queue(self, event: Event) -> None:
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
            self._streams.count_given_up(stream)
            self._outbound.drop(stream)
        if self._serving:
            self._spend("faults of streams")
        self._streams.remember_reset(stream_id)
        self._outbound.answer(frames.rst_stream(stream_id, fault.code))
        if known:
            self.queue(StreamReset(stream_id, fault.code, fault.reason, by_peer=False))

    def _check_awaited(self, kind: int, flags: int) -> None:
        """3.4 and 6.10."""
        if self._awaited == frames.SETTINGS and (kind != frames.SETTINGS or flags & frames.ACK):
            raise ConnectionFault(_PROTOCOL, "the first frame is not SETTINGS")
        if kind != self._awaited:
            raise ConnectionFault(_PROTOCOL, "a header section is not complete")
        self._awaited = None

    def _data(self, flags: int, stream_id: int, data: bytes) -> None:
        """6.1; the whole payload counts for flow control, its padding too."""
        stream = self._open.get(stream_id)
        if stream is None or stream.received_end:
            self._late(Frame(DATA, flags, stream_id, data))
            return
        size = len(data)
        self.windows.take_of(stream, size)
        if flags & PADDED:
            data = frames.without_padding(flags, data)
            self.windows.consumed(stream, size - len(data))
        if not stream.received_headers:
            raise StreamFault(stream_id, _PROTOCOL, "data before headers")
        end_stream = flags & END_STREAM != 0
        if stream.missing is not None and not stream.fits(len(data), end_stream=end_stream):
            raise StreamFault(stream_id, _PROTOCOL, _LENGTH)
        if len(data) < TINY:
            self._little(data, end_stream=end_stream)
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
            self._streams.close(stream)

    def _little(self, data: bytes, *, end_stream: bool) -> None:
        """Looks at a frame with next to no data, which is of use only as an end."""
        if not end_stream:
            self._spend("empty frames")
        elif not (data or self._serving or isinstance(self._pending, DataReceived)):
            self._complete()  # joined to its head, this would look like a trailers-only response

    def _late(self, frame: Frame) -> None:
        """Takes data of a stream that has ended (5.1).

        What may have been under way when this side reset it costs nothing.
        """
        stream = self._known(frame)
        size = len(frame.payload)
        self.windows.take(size)
        reset = self._streams.given_up(frame.stream_id)
        if reset is None:
            under_way = stream is None and self.going_away and size >= TINY
        else:
            under_way = reset.takes(size)
        if not under_way:
            self._spend("frames of closed streams")
        if stream is not None:
            raise StreamFault(stream.id, ErrorCode.STREAM_CLOSED, "data after its end")
        if reset is None and not self.going_away:
            self._outbound.answer(frames.rst_stream(frame.stream_id, ErrorCode.STREAM_CLOSED))

    def _headers(self, flags: int, stream_id: int, block: bytes) -> None:
        """6.2; most are a whole section, and nothing else."""
        if stream_id and flags & _SHAPE == END_HEADERS and len(block) <= self._kept:
            self._section(stream_id, self._decoder.decode(block), flags)
            return
        section = self._sections.begin(Frame(HEADERS, flags, stream_id, block))
        if section is None:
            self._awaited = frames.CONTINUATION
        else:
            self._section(*section)

    def _continuation(self, frame: Frame) -> None:
        """6.10."""
        section = self._sections.go_on(frame)
        if section is None:
            self._awaited = frames.CONTINUATION
        else:
            self._section(*section)

    def _section(self, stream_id: int, section: HeaderSection, flags: int) -> None:
        stream = self._open.get(stream_id) or self._opened(stream_id)
        if stream is None:
            self._answered_late(stream_id, flags)
            return
        if stream.received_end or section.fault or section.too_large:
            self._refuse(stream, section, flags)
            return
        trailers = stream.received_headers
        end_stream = flags & END_STREAM != 0
        try:
            if not self._is_told(stream, section, flags):
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
                pending.end_stream, pending.ending = True, section.headers
                return
            self.events.append(pending)
        begin = () if section.begin is None else section.begin.headers
        self._pending = HeadersReceived(stream_id, section.headers, end_stream, trailers, begin)

    def _refuse(self, stream: Stream, section: HeaderSection, flags: int) -> None:
        """Refuses a section. A request that is too large is told, so that it is answered with a status.

        Raises:
            StreamFault: its stream is to be reset.
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

    def _is_told(self, stream: Stream, section: HeaderSection, flags: int) -> bool:
        """Looks at a section that stands where it does; whether it is to be told.

        Raises:
            ValueError: it is malformed; why.
        """
        if stream.received_headers:
            if not flags & END_STREAM:
                raise ValueError("trailers do not end the stream")
            section.check_trailers()
        elif self._serving:
            stream.missing = section.check_request()
        else:
            status, stream.missing = section.check_answer()
            if status < _INFORMATIONAL:
                if flags & END_STREAM:
                    raise ValueError("an informational answer ends the stream")
                self._spend("informational answers")
                return False
        if stream.missing and flags & END_STREAM:
            raise ValueError(_LENGTH)
        return True

    def _opened(self, stream_id: int) -> Stream | None:
        """Opens a stream for the peer; None if what came is to be passed over (5.1.1, 5.1.2)."""
        streams = self._streams
        if not (self._serving and stream_id % 2 and stream_id > streams.last_from_peer):
            self._check_reset(stream_id)
            return None
        if self.going_away:
            return None
        self._outbound.check_read()  # no window bounds the headers that answer it
        streams.last_from_peer = stream_id
        if len(self._open) >= self._most_open:
            self._spend("streams")
            streams.remember_reset(stream_id, self.windows.initial)
            self._outbound.answer(frames.rst_stream(stream_id, ErrorCode.REFUSED_STREAM))
            return None
        ours, theirs = self.windows.initial, self._outbound.peer.initial_window
        stream = self._open[stream_id] = Stream(stream_id, theirs, ours, streams.now)
        return stream

    def _answered_late(self, stream_id: int, flags: int) -> None:
        """Resets a stream that lingers, for it is answered now; unless that has ended it."""
        lingering = self._streams.lingering.pop(stream_id, None)
        if lingering is not None and not (lingering.sent_end and flags & END_STREAM):
            self._outbound.control(frames.rst_stream(stream_id, lingering.code))

    def _check_reset(self, stream_id: int) -> None:
        """Sees to it that headers of a stream that is not open were under way when it was reset.

        A client may have given up more than it remembers, so there they only count.
        """
        streams = self._streams
        reset = streams.given_up(stream_id)
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
        """4.1: it is passed over."""
        self._spend("unknown frames")

    def _spend(self, what: str, times: int = 1) -> None:
        if not all(self._control.spend() for _ in range(times)):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, f"too many {what}")

    def _known(self, frame: Frame) -> Stream | None:
        """Returns the stream of a frame; None if it is closed. One that never was is a fault (5.1)."""
        frames.check_of_stream(frame)
        stream = self._streams.open.get(frame.stream_id)
        if stream is None and self._streams.is_idle(frame.stream_id):
            its_own = self._streams.role is Role.SERVER and frame.stream_id % 2 == 1
            if not (its_own and self.going_away):  # streams past a GOAWAY are passed over (6.8)
                raise ConnectionFault(_PROTOCOL, f"stream {frame.stream_id} is idle")
        return stream

    def _priority(self, frame: Frame) -> None:
        """6.3; it means nothing any more."""
        frames.check_of_stream(frame)
        self._spend("PRIORITY frames")
        if len(frame.payload) != PRIORITY_SIZE and frame.stream_id in self._streams.open:
            raise StreamFault(frame.stream_id, ErrorCode.FRAME_SIZE_ERROR, "PRIORITY")
        frames.check_size(frame, PRIORITY_SIZE)  # RST_STREAM is not for a stream that is not open

    def _rst_stream(self, frame: Frame) -> None:
        """6.4."""
        frames.check_size(frame, 4)
        stream = self._known(frame)
        if stream is None:
            if self._streams.lingering.pop(frame.stream_id, None) is None:
                self._spend("RST_STREAM frames")
            return
        self._streams.count_given_up(stream)
        self._reset_by_peer(stream, frames.read_uint32(frame.payload), "reset by the peer")

    def _reset_by_peer(self, stream: Stream, code: int, reason: str) -> None:
        self._outbound.drop(stream)
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
            self.windows.acknowledged(self._streams.open.values())
            return
        if len(frame.payload) % 6:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS")
        if self._outbound.settings(frame.payload, from_server=self._streams.role is Role.CLIENT):
            moved = len(self._streams.open) // WINDOWS_MOVED
            self._spend("SETTINGS that move windows", moved)
        self.queue(SettingsReceived(self._outbound.peer.concurrent_streams))

    def _push_promise(self, _frame: Frame) -> None:
        """6.6; a client has said by ENABLE_PUSH that it takes none, and a server never does."""
        raise ConnectionFault(_PROTOCOL, "PUSH_PROMISE")

    def _ping(self, frame: Frame) -> None:
        """6.7."""
        frames.check_of_connection(frame)
        frames.check_size(frame, 8)
        self._spend("PING frames")
        if frame.flags & frames.ACK:
            self.queue(PingAcknowledged(frame.payload))
        else:
            self._outbound.answer(frames.frame(frames.PING, frames.ACK, 0, frame.payload))

    def _goaway(self, frame: Frame) -> None:
        """6.8; streams that will not be processed can be tried again (8.7)."""
        frames.check_of_connection(frame)
        self._spend("GOAWAY frames")
        if len(frame.payload) < 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY")
        last, code, debug = frames.read_goaway(frame.payload)
        last = self._peer_last = min(last, self._peer_last)
        self._streams.closing = True
        if self._streams.role is Role.CLIENT:
            for stream_id in [each for each in self._streams.lingering if each > last]:
                del self._streams.lingering[stream_id]
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
            self._outbound.widen(increment)
            return
        stream = self._known(frame)
        if stream is None:
            return
        if not increment:
            raise StreamFault(stream.id, _PROTOCOL, "a window is widened by nothing")
        self._outbound.widen_stream(stream, increment)
