"""The frames that carry neither headers nor data: what each means where it stands, and what is wrong with it.

Source: RFC 9113, sections 5 and 6; each method names its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from grpc_wire.headers.decoder import HeaderDecoder
from grpc_wire.http2 import frames
from grpc_wire.http2.budget import Budget
from grpc_wire.http2.errors import ConnectionFault, ErrorCode, StreamFault
from grpc_wire.http2.events import (
    Event,
    GoAwayReceived,
    PingAcknowledged,
    SettingsReceived,
    StreamReset,
)
from grpc_wire.http2.frames import Frame
from grpc_wire.http2.header_sections import PRIORITY_SIZE
from grpc_wire.http2.limits import WINDOWS_MOVED, Limits
from grpc_wire.http2.outbound import Outbound
from grpc_wire.http2.receive_windows import ReceiveWindows
from grpc_wire.http2.streams import LARGEST_ID, Role, Stream, Streams

_PROTOCOL: Final = ErrorCode.PROTOCOL_ERROR


class ControlFrames:
    """What the frames of control of one connection mean."""

    def __init__(
        self, streams: Streams, outbound: Outbound, limits: Limits, control: Budget
    ) -> None:
        """Takes what it shares with the sending side."""
        self.events: list[Event] = []
        self.going_away = False
        """Whether streams that the peer opens from now on are passed over."""
        self._peer_last = LARGEST_ID
        """The last stream that the peer will process, once it has said so."""
        self.settings_acknowledged = False
        self._streams = streams
        self._outbound = outbound
        self._limits = limits
        self._control = control
        self.windows = ReceiveWindows(outbound, limits)
        self._decoder = HeaderDecoder(limits.header_list)
        self._on: dict[int, Callable[[Frame], None]] = {
            frames.PRIORITY: self._priority,
            frames.RST_STREAM: self._rst_stream,
            frames.SETTINGS: self._settings,
            frames.PUSH_PROMISE: self._push_promise,
            frames.PING: self._ping,
            frames.GOAWAY: self._goaway,
            frames.WINDOW_UPDATE: self._window_update,
        }

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
        self.events.append(StreamReset(stream.id, code, reason, by_peer=True))

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
        last = self._peer_last = min(last, self._peer_last)
        self._streams.closing = True
        if self._streams.role is Role.CLIENT:
            for stream_id in [each for each in self._streams.lingering if each > last]:
                del self._streams.lingering[stream_id]
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
