"""A gRPC server that costs next to nothing: it answers each call with the message that it was sent.

`python -m bench.peers.fast_core`. No HPACK is read, for nothing depends on a header: an empty message is a
health check and is told SERVING, an `Ask` of the bench's contract gets a batch of so many points, all else
comes back as it is. Source: RFC 9113; gRPC over HTTP/2.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Final, cast

from bench.contracts import filled, messages

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop  # type: ignore[assignment]  # it is another type of loop

_PREFACE: Final = 24
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
_END_STREAM, _ACK, _PADDED, _END_HEADERS = 1, 1, 8, 4
_INITIAL_WINDOW: Final = 4
_MAX_FRAME: Final = 16_384
_WINDOW: Final = 2**30
_HEAD: Final = b"\x88\x0f\x10\x10application/grpc"
"""`:status: 200` of HPACK's static table, and `content-type` by its name there."""
_TRAILERS: Final = b"\x00\x0bgrpc-status\x010"
_SERVING: Final = b"\x08\x01"


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return (
        struct.pack(">HBBBI", len(payload) >> 8, len(payload) & 255, kind, flags, stream) + payload
    )


_HELLO: Final = _frame(_SETTINGS, 0, 0, struct.pack(">HI", _INITIAL_WINDOW, _WINDOW)) + _frame(
    _WINDOW_UPDATE, 0, 0, struct.pack(">I", _WINDOW)
)


class Connection(asyncio.Protocol):
    """One HTTP/2 connection; what a read brings is answered in one write."""

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self._answers = answers
        self._buffer = b""
        self._greeted = False
        self._out: list[bytes] = []
        self._bodies: dict[int, list[bytes]] = {}
        self._received = 0
        self._initial = self._window = 65_535
        self._windows: dict[int, int] = {}
        self._unsent: dict[int, bytes] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Says how much it takes."""
        self._transport = cast("asyncio.WriteTransport", transport)
        self._transport.write(_HELLO)

    def data_received(self, data: bytes) -> None:
        """Answers what is whole."""
        buffer = self._buffer + data
        at = 0
        if not self._greeted:
            if len(buffer) < _PREFACE:
                self._buffer = buffer
                return
            at, self._greeted = _PREFACE, True
        while len(buffer) - at >= 9:
            high, low, kind, flags, stream = struct.unpack_from(">HBBBI", buffer, at)
            end = at + 9 + (high << 8 | low)
            if len(buffer) < end:
                break
            self._take(kind, flags, stream, buffer[at + 9 : end])
            at = end
        self._buffer = buffer[at:]
        if self._out:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _DATA:
            self._take_data(flags, stream, payload)
        elif kind == _HEADERS:
            self._bodies[stream] = []
            self._windows[stream] = self._initial
        elif kind == _WINDOW_UPDATE:
            self._widen(stream, struct.unpack(">I", payload)[0])
        elif kind == _SETTINGS and not flags & _ACK:
            self._settle(payload)
        elif kind == _PING and not flags & _ACK:
            self._out.append(_frame(_PING, _ACK, 0, payload))
        elif kind == _RST_STREAM:
            self._bodies.pop(stream, None)
            self._windows.pop(stream, None)
            self._unsent.pop(stream, None)

    def _take_data(self, flags: int, stream: int, payload: bytes) -> None:
        self._received += len(payload)
        if self._received > _WINDOW // 2:
            self._out.append(_frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", self._received)))
            self._received = 0
        if flags & _PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        body = self._bodies.get(stream)
        if body is None:
            return
        body.append(payload)
        if flags & _END_STREAM:
            del self._bodies[stream]
            self._answer(stream, b"".join(body)[5:])

    def _answer(self, stream: int, message: bytes) -> None:
        answer = self._answers.get(message, message)
        self._out.append(_frame(_HEADERS, _END_HEADERS, stream, _HEAD))
        self._send(stream, struct.pack(">BI", 0, len(answer)) + answer)

    def _send(self, stream: int, data: bytes) -> None:
        """Sends what the windows let through, and the trailers behind the last of it."""
        while data:
            size = min(len(data), self._window, self._windows[stream], _MAX_FRAME)
            if size <= 0:
                self._unsent[stream] = data
                return
            self._out.append(_frame(_DATA, 0, stream, data[:size]))
            self._window -= size
            self._windows[stream] -= size
            data = data[size:]
        del self._windows[stream]
        self._out.append(_frame(_HEADERS, _END_HEADERS | _END_STREAM, stream, _TRAILERS))

    def _widen(self, stream: int, size: int) -> None:
        if stream == 0:
            self._window += size
        elif stream in self._windows:
            self._windows[stream] += size
        self._send_on()

    def _settle(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == _INITIAL_WINDOW:
                for stream in self._windows:
                    self._windows[stream] += value - self._initial
                self._initial = value
        self._out.append(_frame(_SETTINGS, _ACK, 0))
        self._send_on()

    def _send_on(self) -> None:
        if self._unsent:
            unsent, self._unsent = self._unsent, {}
            for stream, data in unsent.items():
                self._send(stream, data)


def answers(*counts: int) -> dict[bytes, bytes]:
    """Returns what is answered otherwise than by an echo: health checks, and asks for so many points."""
    _, batch, ask = messages()
    asked = {
        ask(count=count).SerializeToString(): filled(batch, count).SerializeToString()
        for count in counts
    }
    return {b"": _SERVING, **asked}


async def serve(known: dict[bytes, bytes]) -> None:
    """Serves on a free port without end."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(known), "127.0.0.1", 0)
    print(f"serving: {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    from bench.contracts import LARGE

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(answers(LARGE)))
