"""Turns and subscribers over HTTP/2: what `turns` and `subscribers` are over HTTP/1.1.

A request is given as over HTTP/1.1, so that one request asks over both. Windows are opened once, so wide that
no run fills them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from hpack import Encoder

from bench.turns import Connection, Turns
from grpc_wire.headers.encoder import HeaderEncoder
from grpc_wire.headers.section import Headers
from grpc_wire.http2 import frames

if TYPE_CHECKING:
    from bench.subscribers import Tally

_LARGEST: Final = 2**31 - 1
_FIRST_WINDOW: Final = 65_535
_INITIAL_WINDOW: Final = 4
"""The setting of RFC 9113, 6.5.2."""
_FRAME: Final = 16_384
_STATUS_200: Final = 0x88
"""`:status: 200` in a header block, from the static table."""
_GREETING: Final = b"".join(
    (
        frames.PREFACE,
        frames.settings([(_INITIAL_WINDOW, _LARGEST)]),
        frames.window_update(0, _LARGEST - _FIRST_WINDOW),
    )
)
_OF_HTTP_1: Final = (b"host", b"connection")
"""Headers that have no place in HTTP/2 (RFC 9113, 8.2.2 and 8.3.1)."""
_ACKNOWLEDGED: Final = frames.frame(frames.SETTINGS, frames.ACK, 0)


def fields_of(request: bytes) -> tuple[Headers, bytes]:
    """Returns the fields and the body of a request that is given as over HTTP/1.1."""
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    method, target, _ = first.split(b" ")
    headers = [(name.lower(), value) for name, _, value in (x.partition(b": ") for x in lines)]
    host = dict(headers)[b"host"]
    pseudo = ((b":method", method), (b":scheme", b"http"), (b":path", target))
    others = tuple(field for field in headers if field[0] not in _OF_HTTP_1)
    return (*pseudo, (b":authority", host), *others), body


class Http2Connection(Connection):
    """HTTP/2 with one stream at a time, as HTTP/1.1 has one request."""

    def __init__(self, turns: Turns, request: bytes) -> None:
        super().__init__(turns, request)
        self._asked = None if self._template else fields_of(request)
        # of each field that may recur a browser makes an entry of the table
        self._encoder: HeaderEncoder | Encoder = Encoder() if self._template else HeaderEncoder()
        self._stream = -1
        self._began_at: dict[int, float] = {}
        """Streams that wait for their answer -> when each was asked."""
        self._has_body: set[int] = set()
        self._rest = b""

    def ask(self) -> None:
        """Begins a turn."""
        self._stream += 2
        self._began_at[self._stream] = self._turns.begin()
        fields, body = self._asked or fields_of(self.request())
        block = self._encoder.encode(fields)
        self.transport.write(frames.request_frames(self._stream, block, body, _FRAME))

    def data_received(self, data: bytes) -> None:
        """Follows frames to the end of the answer."""
        data = self._rest + data
        at, end = 0, len(data)
        while end - at >= frames.HEAD_SIZE:
            size = int.from_bytes(data[at : at + 3])
            start = at + frames.HEAD_SIZE
            if start + size > end:
                break
            stream = int.from_bytes(data[at + 5 : start])
            at, kind, flags = start + size, data[at + 3], data[at + 4]
            self._frame(kind, flags, stream, data[start:at])
        self._rest = data[at:]

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == frames.DATA:
            self._has_body.add(stream)
        elif kind == frames.HEADERS:
            if stream not in self._has_body and _STATUS_200 not in payload[:8]:
                self._turns.fail(f"the server answered {payload!r}")
        elif kind == frames.SETTINGS:
            if not flags & frames.ACK:
                self.transport.write(_ACKNOWLEDGED)
                self.ready.set_result(None)
            return
        elif kind in (frames.RST_STREAM, frames.GOAWAY):
            self._turns.fail(f"the server sent {payload!r} in a frame of type {kind}")
        else:
            return
        if flags & frames.END_STREAM:
            if stream not in self._has_body:
                self._turns.fail("the answer has no body")
            self._has_body.discard(stream)
            self._began = self._began_at.pop(stream)
            self.answered()

    def _greet(self) -> None:
        self.transport.write(_GREETING)


class Http2Streams(Http2Connection):
    """HTTP/2 as its clients use it: all turns on one connection, each on a stream of its own."""

    takes_all = True


class Http2Subscribers(asyncio.Protocol):
    """One connection, which asks for a stream as often as it is told, and counts what comes."""

    def __init__(self, request: bytes, streams: int, tally: Tally) -> None:
        """Takes the request, how often it is sent, and where events are counted."""
        self._fields, _ = fields_of(request)
        self._streams = self._waiting = streams
        self._tally = tally
        self._rest = b""
        self._greeted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks."""
        self._transport = cast("asyncio.WriteTransport", transport)
        encoder = HeaderEncoder()
        asked = (
            frames.headers(number, encoder.encode(self._fields), _FRAME, end_stream=True)
            for number in range(1, 2 * self._streams, 2)
        )
        self._transport.write(_GREETING + b"".join(asked))

    def data_received(self, data: bytes) -> None:
        """Counts; what is parted between two reads is not lost."""
        if not self._greeted:  # the server's SETTINGS come first
            self._greeted = True
            self._transport.write(_ACKNOWLEDGED)
        tally, before = self._tally, self._tally.events
        data = self._rest + data
        self._rest = data[1 - len(tally.known_by) :]
        tally.take(data)
        if self._waiting:
            begun = min(self._waiting, tally.events - before)
            self._waiting -= begun
            tally.begun += begun
            tally.changed.set()

    def connection_lost(self, error: Exception | None) -> None:
        """Counts its streams."""
        del error
        self._tally.lost += self._streams
