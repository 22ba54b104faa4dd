"""All that comes in: each kind of frame, what it means where it stands, and what is wrong with it.

Source: RFC 9113, sections 5 and 6; each method names its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from grpc_wire import frames
from grpc_wire.budget import Budget
from grpc_wire.errors import ConnectionFault, ErrorCode, StreamFault
from grpc_wire.events import (
    DataReceived,
    Event,
    GoAwayReceived,
    Headers,
    HeadersReceived,
    PingAcknowledged,
    SettingsReceived,
    StreamReset,
)
from grpc_wire.frames import Frame
from grpc_wire.header_rules import check_answer, check_request, check_trailers
from grpc_wire.header_sections import PRIORITY_SIZE, HeaderSections, Section
from grpc_wire.limits import CONTROL_FRAMES_EARNED, WINDOWS_MOVED, Limits
from grpc_wire.outbound import Outbound
from grpc_wire.receive_windows import ReceiveWindows
from grpc_wire.streams import Role, Stream, Streams

_PROTOCOL: Final = ErrorCode.PROTOCOL_ERROR
_INFORMATIONAL: Final = 200
"""A status below this is not the answer yet (RFC 9110, 15.2)."""
_LENGTH: Final = "content-length says something else"


class Inbound:
    """What the frames of one connection mean."""

    def __init__(
        self, streams: Streams, outbound: Outbound, limits: Limits, control: Budget
    ) -> None:
        """Takes what it shares with the sending side."""
        self.events: list[Event] = []
        self.going_away = False
        """Whether streams that the peer opens from now on are passed over."""
        self.peer_last: int | None = None
        """The last stream that the peer will process, once it has said so."""
        self.settings_acknowledged = False
        self._streams = streams
        self._outbound = outbound
        self._limits = limits
        self._control = control
        self.windows = ReceiveWindows(outbound, limits)
        self._sections = HeaderSections(limits)
        self._began = False
        self._on: dict[int, Callable[[Frame], None]] = {
            frames.DATA: self._data,
            frames.HEADERS: self._headers,
            frames.PRIORITY: self._priority,
            frames.RST_STREAM: self._rst_stream,
            frames.SETTINGS: self._settings,
            frames.PUSH_PROMISE: self._push_promise,
            frames.PING: self._ping,
            frames.GOAWAY: self._goaway,
            frames.WINDOW_UPDATE: self._window_update,
            frames.CONTINUATION: self._continuation,
        }

    def take(self, frame: Frame) -> None:
        """Takes a frame.

        Raises:
            ConnectionFault: the connection is at an end.
            StreamFault: a stream is.
        """
        if not self._began:
            if frame.kind != frames.SETTINGS or frame.flags & frames.ACK:
                raise ConnectionFault(_PROTOCOL, "the first frame is not SETTINGS")
            self._began = True
        if self._sections.incomplete and frame.kind != frames.CONTINUATION:
            raise ConnectionFault(_PROTOCOL, "a header section is not complete")
        self._on.get(frame.kind, self._unknown)(frame)

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

    def _data(self, frame: Frame) -> None:
        """6.1; the whole payload counts for flow control, its padding too."""
        flags, stream_id, data = frame.flags, frame.stream_id, frame.payload
        size = len(data)
        stream = self._streams.open.get(stream_id) or self._known(frame)
        self.windows.take(size)
        if stream is None or stream.received_end:
            self._late(frame, stream)
            return
        if flags & frames.PADDED:
            data = frames.without_padding(frame)
        self.windows.take_of(stream, size)
        if not stream.received_headers:
            raise StreamFault(stream_id, _PROTOCOL, "data before headers")
        end_stream = bool(flags & frames.END_STREAM)
        if stream.missing is not None and not stream.fits(len(data), end_stream=end_stream):
            raise StreamFault(stream_id, _PROTOCOL, _LENGTH)
        if data:
            self._control.earn(CONTROL_FRAMES_EARNED)
        elif not end_stream:
            self._spend("empty frames")
        if flags & frames.PADDED:
            self.windows.consumed(stream, size - len(data))
        if end_stream:
            stream.received_end = True
            self._streams.close_if_ended(stream)
        self.events.append(DataReceived(stream_id, data, end_stream))

    def _late(self, frame: Frame, stream: Stream | None) -> None:
        """Takes data of a stream that has ended; data that may have been under way cost nothing (5.1)."""
        may_be = stream is None and (self.going_away or self._streams.was_reset(frame.stream_id))
        if not may_be or not frame.payload:
            self._spend("frames of closed streams")
        if stream is not None:
            raise StreamFault(stream.id, ErrorCode.STREAM_CLOSED, "data after its end")
        if not may_be:
            self._outbound.answer(frames.rst_stream(frame.stream_id, ErrorCode.STREAM_CLOSED))

    def _headers(self, frame: Frame) -> None:
        """6.2."""
        self._section(self._sections.begin(frame))

    def _continuation(self, frame: Frame) -> None:
        """6.10."""
        self._section(self._sections.go_on(frame))

    def _section(self, section: Section | None) -> None:
        if section is None:
            return
        stream_id = section.stream_id
        stream = self._streams.open.get(stream_id) or self._opened(stream_id)
        if stream is None:
            return
        if stream.received_end:
            raise StreamFault(stream_id, ErrorCode.STREAM_CLOSED, "headers after its end")
        decoded = section.decoded
        if decoded.fault:
            raise StreamFault(stream_id, _PROTOCOL, decoded.fault)
        if decoded.too_large:
            raise StreamFault(stream_id, ErrorCode.ENHANCE_YOUR_CALM, "headers are too large")
        try:
            self._received(stream, decoded.headers, end_stream=section.end_stream)
        except ValueError as error:
            raise StreamFault(stream_id, _PROTOCOL, str(error)) from error

    def _opened(self, stream_id: int) -> Stream | None:
        """Opens a stream for the peer; None if what came is to be passed over (5.1.1, 5.1.2)."""
        streams = self._streams
        if streams.was_reset(stream_id):
            if streams.role is Role.SERVER:
                self._spend("headers of closed streams")
            return None
        if not streams.is_idle(stream_id):
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, f"stream {stream_id} was closed")
        if streams.role is Role.CLIENT or stream_id % 2 == 0:
            raise ConnectionFault(_PROTOCOL, f"stream {stream_id} is not the peer's to open")
        if self.going_away:
            return None
        self._outbound.check_read()  # no window bounds the headers that answer it
        streams.last_from_peer = stream_id
        if len(streams.open) >= self._limits.concurrent_streams:
            self._spend("streams")
            streams.remember_reset(stream_id)
            self._outbound.answer(frames.rst_stream(stream_id, ErrorCode.REFUSED_STREAM))
            return None
        ours, theirs = self.windows.initial, self._outbound.peer.initial_window
        stream = Stream(stream_id, theirs, ours, since=streams.clock())
        return streams.open.setdefault(stream_id, stream)

    def _received(self, stream: Stream, headers: Headers, *, end_stream: bool) -> None:
        trailers = stream.received_headers
        if trailers:
            if not end_stream:
                raise ValueError("trailers do not end the stream")
            check_trailers(headers)
        elif self._streams.role is Role.SERVER:
            stream.missing = check_request(headers)
        else:
            status, stream.missing = check_answer(headers)
            if status < _INFORMATIONAL:
                if end_stream:
                    raise ValueError("an informational answer ends the stream")
                self._spend("informational answers")
                return
        if end_stream and not stream.fits(0, end_stream=True):
            raise ValueError(_LENGTH)
        self._control.earn(CONTROL_FRAMES_EARNED)
        stream.received_headers = True
        if end_stream:
            stream.received_end = True
            self._streams.close_if_ended(stream)
        self.events.append(HeadersReceived(stream.id, headers, end_stream, trailers))

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
            self._spend("RST_STREAM frames")
            return
        self._streams.count_given_up(stream)
        self._reset_by_peer(stream, frames.read_uint32(frame.payload), "reset by the peer")

    def _reset_by_peer(self, stream: Stream, code: int, reason: str) -> None:
        self._outbound.drop(stream)
        self._streams.close(stream)
        self.events.append(StreamReset(stream.id, code, reason, by_peer=True))

    def _settings(self, frame: Frame) -> None:
        """6.5."""
        frames.check_of_connection(frame)
        self._spend("SETTINGS frames")
        if frame.flags & frames.ACK:
            frames.check_size(frame, 0)
            self.settings_acknowledged = True
            self._sections.allow_table(self._limits.header_table)
            self.windows.acknowledged(self._streams.open.values())
            return
        if len(frame.payload) % 6:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS")
        if self._outbound.settings(frame.payload, from_server=self._streams.role is Role.CLIENT):
            moved = len(self._streams.open) // WINDOWS_MOVED
            self._spend("SETTINGS that move windows", moved)
        self.events.append(SettingsReceived(self._outbound.peer.concurrent_streams))

    def _push_promise(self, _frame: Frame) -> None:
        """6.6; a client has said by ENABLE_PUSH that it takes none, and a server never does."""
        raise ConnectionFault(_PROTOCOL, "PUSH_PROMISE")

    def _ping(self, frame: Frame) -> None:
        """6.7."""
        frames.check_of_connection(frame)
        frames.check_size(frame, 8)
        self._spend("PING frames")
        if frame.flags & frames.ACK:
            self.events.append(PingAcknowledged(frame.payload))
        else:
            self._outbound.answer(frames.frame(frames.PING, frames.ACK, 0, frame.payload))

    def _goaway(self, frame: Frame) -> None:
        """6.8; streams that will not be processed can be tried again (8.7)."""
        frames.check_of_connection(frame)
        self._spend("GOAWAY frames")
        if len(frame.payload) < 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY")
        last, code, debug = frames.read_goaway(frame.payload)
        last = last if self.peer_last is None else min(last, self.peer_last)
        self.peer_last = last
        if self._streams.role is Role.CLIENT:
            for stream in [s for s in self._streams.open.values() if s.id > last]:
                self._reset_by_peer(stream, ErrorCode.REFUSED_STREAM, "not processed")
        self.events.append(GoAwayReceived(last, code, debug))

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
