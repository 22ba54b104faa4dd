"""The two sides of a conversation: ours, and h2's, with one interface; and what either has said and heard."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import h2.config
import h2.connection
import h2.events
from h2.settings import SettingCodes

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
    StreamDrained,
    StreamReset,
)
from grpc_wire.http2.limits import DEFAULT, Limits
from tests.wire.driving import heard


@dataclass
class Words:
    """What was said on a stream in one direction."""

    head: Headers | None = None
    body: bytearray = field(default_factory=bytearray)
    trailers: Headers | None = None
    ended: bool = False


@dataclass
class Talk:
    """One stream as one side knows it."""

    said: Words = field(default_factory=Words)
    heard: Words = field(default_factory=Words)
    reset: int | None = None
    """The code with which it was reset, by whomever."""
    unread: int = 0

    def hear(self, headers: Headers, *, end: bool) -> None:
        """Notes a header section."""
        assert not self.heard.ended
        assert self.reset is None
        if self.heard.head is None:
            self.heard.head = headers
        else:
            assert self.heard.trailers is None
            self.heard.trailers = headers
        self.heard.ended |= end

    def hear_data(self, data: bytes) -> None:
        """Notes data."""
        assert self.heard.head is not None
        assert self.heard.trailers is None
        assert not self.heard.ended
        assert self.reset is None
        self.heard.body += data

    @property
    def may_say(self) -> bool:
        """Whether this side may send more."""
        return self.said.head is not None and not self.said.ended and self.reset is None


class Side(Protocol):
    """What a conversation needs of either side."""

    talks: dict[int, Talk]
    pongs: Counter[bytes]
    gone: list[tuple[int, int]]
    window: int
    """What the other may send on a new stream."""
    needs_no_more: bool
    """Whether a request is not read to its end once it is answered."""

    def can_open(self) -> bool:
        """Says whether a stream may be opened."""

    def open(self, headers: Headers, *, end: bool) -> int:
        """Opens a stream."""

    def ask(self, headers: Headers, data: bytes) -> int:
        """Opens a stream, with all that is to be said on it."""

    def send_response(self, stream: int, head: Headers, data: bytes, trailers: Headers) -> None:
        """Says all that is to be said on a stream."""

    def headers(self, stream: int, headers: Headers, *, end: bool) -> None:
        """Sends headers."""

    def data(self, stream: int, data: bytes, *, end: bool) -> None:
        """Sends data."""

    def reset(self, stream: int) -> None:
        """Resets a stream."""

    def ping(self, data: bytes) -> None:
        """Sends a ping."""

    def settings(self, choice: int) -> None:
        """Changes a setting, if it can."""

    def read(self, stream: int) -> None:
        """Consumes what has come."""

    def hear(self, octets: bytes) -> None:
        """Takes bytes, and what they tell."""

    def output(self) -> bytes:
        """Returns what is to be sent."""

    def idle(self) -> bool:
        """Says whether nothing waits."""

    def go(self) -> None:
        """Goes away."""


class Ours:
    """A connection of grpc_wire."""

    def __init__(self, role: Role, limits: Limits = DEFAULT) -> None:
        self.talks: dict[int, Talk] = {}
        self.pongs: Counter[bytes] = Counter()
        self.gone: list[tuple[int, int]] = []
        self.connection = Connection(role, limits, clock=time.monotonic)
        self._role = role
        self.window = limits.stream_window
        self.needs_no_more = True
        self._waiting: set[int] = set()

    def can_open(self) -> bool:
        """Whether a stream may be opened."""
        return self.connection.can_open

    def open(self, headers: Headers, *, end: bool) -> int:
        """Opens a stream."""
        return self.connection.open_stream(headers, end_stream=end)

    def ask(self, headers: Headers, data: bytes) -> int:
        """Opens a stream, with all that is to be said on it."""
        stream = self.connection.open_stream(headers, data)
        if self.connection.queued(stream):
            self._waiting.add(stream)
        return stream

    def send_response(self, stream: int, head: Headers, data: bytes, trailers: Headers) -> None:
        """Says all that is to be said on a stream."""
        if self.connection.send_response(stream, head, [data], trailers):
            self._waiting.add(stream)

    def headers(self, stream: int, headers: Headers, *, end: bool) -> None:
        """Sends headers."""
        self.connection.send_headers(stream, headers, end_stream=end)

    def data(self, stream: int, data: bytes, *, end: bool) -> None:
        """Sends data."""
        if self.connection.send_data(stream, data, end_stream=end):
            self._waiting.add(stream)

    def reset(self, stream: int) -> None:
        """Resets a stream."""
        self.connection.reset(stream, ErrorCode.CANCEL)
        self._waiting.discard(stream)

    def ping(self, data: bytes) -> None:
        """Sends a ping."""
        self.connection.ping(data)

    def settings(self, choice: int) -> None:
        """Ours say their settings once."""

    def read(self, stream: int) -> None:
        """Consumes what has come."""
        talk = self.talks[stream]
        self.connection.consumed(stream, talk.unread)
        talk.unread = 0

    def hear(self, octets: bytes) -> None:
        """Takes bytes, and what they tell."""
        self._note(heard(self.connection, octets))

    def _note(self, events: Sequence[ConnectionEvent]) -> None:
        for event in events:
            if isinstance(event, HeadersReceived):
                talk = self.talks.setdefault(event.stream_id, Talk())
                assert event.is_trailers == (talk.heard.head is not None)
                talk.hear(event.headers, end=False)
                self._hear_more(talk, event)
            elif isinstance(event, DataReceived):
                self._hear_more(self.talks[event.stream_id], event)
            elif isinstance(event, StreamReset):
                talk = self.talks[event.stream_id]
                assert talk.reset is None
                assert event.by_peer, event
                talk.reset = event.code
                self._waiting.discard(event.stream_id)
            elif isinstance(event, StreamDrained):
                assert self.connection.queued(event.stream_id) == 0
                self._waiting.remove(event.stream_id)
            elif isinstance(event, PingAcknowledged):
                self.pongs[event.data] += 1
            elif isinstance(event, GoAwayReceived):
                self.gone.append((event.last_stream_id, event.code))
            else:
                assert not isinstance(event, ConnectionFailed), event

    def _hear_more(self, talk: Talk, event: HeadersReceived | DataReceived) -> None:
        """Takes data and trailers, which may have come with a head."""
        if event.data:
            talk.hear_data(event.data)
            talk.unread += len(event.data)
        if event.trailers is not None:
            assert event.end_stream
            talk.hear(event.trailers, end=False)
        talk.heard.ended |= event.end_stream

    def output(self) -> bytes:
        """Returns what is to be sent."""
        octets = self.connection.take_output()
        self._note(self.connection.take_events())
        for stream in self._waiting:
            assert self.connection.queued(stream), "drained, and not told"
        return octets

    def idle(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting and not self.connection.has_output

    def go(self) -> None:
        """Goes away."""
        self.connection.go_away()


class Theirs:
    """A connection of h2, which raises whatever the peer does wrong."""

    window = 65_535
    needs_no_more = False

    SETTINGS: tuple[dict[int, int], ...] = (
        {SettingCodes.INITIAL_WINDOW_SIZE: 0},
        {SettingCodes.INITIAL_WINDOW_SIZE: 1},
        {SettingCodes.INITIAL_WINDOW_SIZE: 65_535},
        {SettingCodes.INITIAL_WINDOW_SIZE: 1_000_000},
        {SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1},
        {SettingCodes.MAX_FRAME_SIZE: 16_384},
        {SettingCodes.MAX_FRAME_SIZE: 100_000},
        {SettingCodes.HEADER_TABLE_SIZE: 0},
        {SettingCodes.HEADER_TABLE_SIZE: 200},
        {SettingCodes.HEADER_TABLE_SIZE: 4096},
        {SettingCodes.HEADER_TABLE_SIZE: 65_536},
        {SettingCodes.MAX_CONCURRENT_STREAMS: 1},
        {SettingCodes.MAX_CONCURRENT_STREAMS: 100},
    )

    def __init__(self, role: Role) -> None:
        self.talks: dict[int, Talk] = {}
        self.pongs: Counter[bytes] = Counter()
        self.gone: list[tuple[int, int]] = []
        config = h2.config.H2Configuration(
            client_side=role is Role.CLIENT, header_encoding=None, normalize_inbound_headers=False
        )
        self._connection = h2.connection.H2Connection(config)
        self._connection.initiate_connection()
        self._queues: dict[int, tuple[bytearray, bool]] = {}
        self._trailers: dict[int, Headers] = {}
        self._changes: deque[int] = deque()
        self._acknowledged = False

    def can_open(self) -> bool:
        """Whether a stream may be opened."""
        most = self._connection.remote_settings.max_concurrent_streams
        return self._connection.open_outbound_streams < most

    def open(self, headers: Headers, *, end: bool) -> int:
        """Opens a stream."""
        stream = self._connection.get_next_available_stream_id()
        self._connection.send_headers(stream, headers, end_stream=end)
        return stream

    def ask(self, headers: Headers, data: bytes) -> int:
        """Opens a stream, with all that is to be said on it."""
        stream = self.open(headers, end=False)
        self.data(stream, data, end=True)
        return stream

    def send_response(self, stream: int, head: Headers, data: bytes, trailers: Headers) -> None:
        """Says all that is to be said on a stream."""
        self.headers(stream, head, end=False)
        self.data(stream, data, end=False)
        self.headers(stream, trailers, end=True)

    def headers(self, stream: int, headers: Headers, *, end: bool) -> None:
        """Sends headers, behind the data that wait."""
        if stream in self._queues:
            self._trailers[stream] = headers
        else:
            self._connection.send_headers(stream, headers, end_stream=end)

    def data(self, stream: int, data: bytes, *, end: bool) -> None:
        """Sends data as the windows allow."""
        queue, _ = self._queues.setdefault(stream, (bytearray(), False))
        queue += data
        self._queues[stream] = (queue, end)
        self._pump()

    def _pump(self) -> None:
        for stream, (queue, end) in list(self._queues.items()):
            while True:
                window = self._connection.local_flow_control_window(stream)
                size = min(window, self._connection.max_outbound_frame_size, len(queue))
                if size <= 0 and queue:
                    break
                chunk = bytes(queue[:size])
                del queue[:size]
                last = not queue
                self._connection.send_data(stream, chunk, end_stream=end and last)
                if last:
                    del self._queues[stream]
                    if stream in self._trailers:
                        trailers = self._trailers.pop(stream)
                        self._connection.send_headers(stream, trailers, end_stream=True)
                    break

    def _drop(self, stream: int) -> None:
        self._queues.pop(stream, None)
        self._trailers.pop(stream, None)

    def reset(self, stream: int) -> None:
        """Resets a stream."""
        self._drop(stream)
        self._connection.reset_stream(stream, 8)

    def ping(self, data: bytes) -> None:
        """Sends a ping."""
        self._connection.ping(data)

    def settings(self, choice: int) -> None:
        """Changes a setting."""
        self._changes.append(choice)
        self._change()

    def _change(self) -> None:
        """Says one change at a time: h2 takes an acknowledgement for all that it has said."""
        if self._changes and self._acknowledged:
            self._acknowledged = False
            choice = self._changes.popleft()
            self._connection.update_settings(self.SETTINGS[choice % len(self.SETTINGS)])

    def read(self, stream: int) -> None:
        """Consumes what has come."""
        talk = self.talks[stream]
        if talk.unread:
            self._connection.acknowledge_received_data(talk.unread, stream)
        talk.unread = 0

    def hear(self, octets: bytes) -> None:
        """Takes bytes, and what they tell."""
        for event in self._connection.receive_data(octets):
            if isinstance(event, h2.events.SettingsAcknowledged):
                self._acknowledged = True
                self._change()
            elif isinstance(event, h2.events.PingAckReceived):
                self.pongs[event.ping_data] += 1
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.gone.append((event.last_stream_id or 0, int(event.error_code or 0)))
            else:
                self._note(event)
        if not self.gone:
            self._pump()

    def _note(self, event: h2.events.Event) -> None:
        """Takes what is told of a stream."""
        if isinstance(
            event,
            h2.events.RequestReceived | h2.events.ResponseReceived | h2.events.TrailersReceived,
        ):
            talk = self.talks.setdefault(event.stream_id, Talk())
            fields = tuple((bytes(name), bytes(value)) for name, value in event.headers)
            talk.hear(fields, end=False)
        elif isinstance(event, h2.events.DataReceived):
            talk = self.talks[event.stream_id]
            talk.hear_data(event.data)
            talk.unread += event.flow_controlled_length
        elif isinstance(event, h2.events.StreamEnded):
            self.talks[event.stream_id].heard.ended = True
        elif isinstance(event, h2.events.StreamReset):
            talk = self.talks[event.stream_id]
            assert event.remote_reset, event
            if talk.reset is None:
                talk.reset = int(event.error_code)
            self._drop(event.stream_id)

    def output(self) -> bytes:
        """Returns what is to be sent."""
        return self._connection.data_to_send()

    def idle(self) -> bool:
        """Whether nothing waits."""
        return not self._queues and not self._changes

    def go(self) -> None:
        """Goes away."""
        self._connection.close_connection()
