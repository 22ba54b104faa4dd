"""Whole responses of a server: when they are written."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from grpc_wire.headers.encoder import HeaderEncoder
from grpc_wire.headers.section import Headers
from grpc_wire.http2 import frames
from grpc_wire.http2.connection import Role
from grpc_wire.http2.events import HeadersReceived
from grpc_wire.transport.transport import Transport

_REQUEST: Headers = (
    *((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/")),
    (b":authority", b"localhost"),
)
_HEAD: Headers = ((b":status", b"200"),)
_TRAILERS: Headers = ((b"grpc-status", b"0"),)


class _Socket(asyncio.Transport):
    """Notes what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        del name
        return default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return False


class _Stream:
    """A request that is answered by the test."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


class _Owner:
    """Registers requests."""

    def requested(self, transport: Transport, event: HeadersReceived) -> None:
        """Takes a request."""
        transport.register(event.stream_id, _Stream())

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


class _Stage:
    """A connection that has been opened."""

    def __init__(self) -> None:
        self.socket = _Socket()
        self.transport = Transport(Role.SERVER, _Owner())
        self.transport.connection_made(self.socket)
        self.transport.data_received(frames.PREFACE + frames.settings([]))
        self._encoder = HeaderEncoder()

    async def ask(self, *numbers: int) -> None:
        """Sends requests together, and waits until all is written that they have caused."""
        blocks = ((number, self._encoder.encode(_REQUEST)) for number in numbers)
        parts = (frames.headers(*each, 16_384, end_stream=True) for each in blocks)
        self.transport.data_received(b"".join(parts))
        for _ in range(3):
            await asyncio.sleep(0)
        self.socket.written.clear()


@pytest.fixture
async def stage() -> _Stage:
    """A connection."""
    return _Stage()


async def test_the_only_one_is_written_at_once(stage: _Stage) -> None:
    """Head, data and trailers in one write: nothing else could be written with them."""
    await stage.ask(1)

    assert not stage.transport.send_whole(1, _HEAD, b"abc", (), _TRAILERS)
    (written,) = stage.socket.written
    assert [written[at + 3] for at in _heads(written)] == [
        *(frames.HEADERS, frames.DATA, frames.HEADERS),
    ]


async def test_several_are_written_together(stage: _Stage) -> None:
    """Those of one turn; the last one too."""
    await stage.ask(1, 3, 5)
    for number in (1, 3, 5):
        stage.transport.send_whole(number, _HEAD, b"abc")

    assert stage.socket.written == []
    await asyncio.sleep(0)
    assert len(stage.socket.written) == 1


async def test_one_without_data_has_its_trailers(stage: _Stage) -> None:
    """They end it."""
    await stage.ask(1)
    stage.transport.send_whole(1, _HEAD, b"", (), _TRAILERS)

    (written,) = stage.socket.written
    found = [(written[at + 3], written[at + 4] & frames.END_STREAM) for at in _heads(written)]
    assert found == [(frames.HEADERS, 0), (frames.HEADERS, frames.END_STREAM)]


def _heads(data: bytes) -> list[int]:
    """Returns where frames begin."""
    found, at = [], 0
    while at < len(data):
        found.append(at)
        at += frames.HEAD_SIZE + int.from_bytes(data[at : at + 3])
    return found
