"""The steps of a call over `grpc_wire`, below its asyncio: frames, header blocks and messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Final

from hpack import Encoder

from grpc_wire.call import message
from grpc_wire.headers.decoder import HeaderDecoder
from grpc_wire.headers.encoder import HeaderEncoder
from grpc_wire.headers.section import Headers
from grpc_wire.http2 import frames
from grpc_wire.http2.connection import Connection, Role
from grpc_wire.http2.events import DataReceived
from grpc_wire.http2.limits import DEFAULT

_HEAD: Final[Headers] = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/finance.CurrencyConverter/Convert"),
    (b":authority", b"127.0.0.1:50051"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
    (b"user-agent", b"grpc-python-wire/1"),
    (b"grpc-accept-encoding", b"identity, deflate, gzip"),
)
"""Of all requests; each has a request id too, never seen before, which some peers put into the table."""
_TRAILERS: Final[Headers] = ((b"grpc-status", b"0"),)
_MESSAGE: Final = bytes(25)
_LARGE: Final = bytes(100_000)
_PIECE: Final = 16_384
_COUNT: Final = 64


def ways() -> Mapping[str, Callable[[], object]]:
    """Returns each step, ready to be called."""
    return {**_frames(), **_headers(), **_messages()}


def _frames() -> Mapping[str, Callable[[], object]]:
    small = frames.frame(frames.DATA, 0, 1, message.frame(_MESSAGE)) * _COUNT
    connection = Connection(Role.CLIENT, clock=lambda: 0.0)
    connection.receive(frames.settings([]))
    assert connection.open_stream(_HEAD) == 1
    answer = HeaderEncoder().encode(((b":status", b"200"),))
    connection.receive(frames.headers(1, answer, _PIECE, end_stream=False))
    cut = [small[at : at + 100] for at in range(0, len(small), 100)]

    def receive(pieces: Sequence[bytes]) -> int:
        size = 0
        for piece in pieces:
            for event in connection.receive(piece):
                assert isinstance(event, DataReceived)
                size += len(event.data)
        connection.consumed(1, size)
        connection.take_output()
        return size

    assert receive([small]) == _COUNT * len(message.frame(_MESSAGE))
    return {
        f"receive {_COUNT} frames": lambda: receive([small]),
        f"receive {_COUNT} frames, in pieces": lambda: receive(cut),
    }


def _headers() -> Mapping[str, Callable[[], object]]:
    encoder, decoder = HeaderEncoder(), HeaderDecoder(DEFAULT.header_list)
    numbers = count()

    def fresh() -> Headers:
        return ((b"x-request-id", b"%032x" % next(numbers)),)

    for headers, begin in ((fresh(), _HEAD), (_TRAILERS, ()), (fresh(), _HEAD), (_TRAILERS, ())):
        block = encoder.encode(headers, begin)
        assert decoder.decode(block).headers == begin + headers
    request, trailers = encoder.encode(fresh(), _HEAD), encoder.encode(_TRAILERS)
    peer = Encoder()
    kept = [peer.encode([*_HEAD, *fresh()]) for _ in range(_COUNT)]

    def decode_kept() -> None:
        reader = HeaderDecoder(DEFAULT.header_list)
        for block in kept:
            reader.decode(block)

    return {
        "encode the headers of a request": lambda: encoder.encode(fresh(), _HEAD),
        "encode trailers": lambda: encoder.encode(_TRAILERS),
        "decode the headers of a request": lambda: decoder.decode(request),
        "decode trailers": lambda: decoder.decode(trailers),
        f"decode {_COUNT} whose values were kept": decode_kept,
    }


def _messages() -> Mapping[str, Callable[[], object]]:
    reader = message.MessageReader(-1)
    one, many = message.frame(_MESSAGE), message.frame(_MESSAGE) * _COUNT
    large = message.frame(_LARGE)
    parts = [large[at : at + _PIECE] for at in range(0, len(large), _PIECE)]
    assert reader.feed(many) == [_MESSAGE] * _COUNT
    assert [m for part in parts for m in reader.feed(part)] == [_LARGE]
    return {
        "frame a message": lambda: message.frame_pieces(_MESSAGE),
        "unframe a message": lambda: reader.feed(one),
        f"unframe {_COUNT} messages": lambda: reader.feed(many),
        "unframe a message of 100 kB": lambda: [reader.feed(part) for part in parts],
    }
