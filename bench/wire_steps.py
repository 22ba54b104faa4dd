"""The steps of a call over `grpc_wire`, below its asyncio: frames, header blocks and messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Final

from hpack import Encoder

from grpc_wire.call import message
from grpc_wire.headers.decoder import HeaderDecoder
from grpc_wire.headers.encoder import HeaderEncoder
from grpc_wire.headers.section import Headers
from grpc_wire.http2 import frames
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
    small = b"".join(
        frames.frame(frames.DATA, 0, stream_id, message.frame(_MESSAGE))
        for stream_id in range(1, 2 * _COUNT, 2)
    )
    reader = frames.FrameReader(DEFAULT.frame)
    assert len(list(reader.feed(small))) == _COUNT
    cut = [small[at : at + 100] for at in range(0, len(small), 100)]
    return {
        f"cut {_COUNT} frames": lambda: list(reader.feed(small)),
        f"cut {_COUNT} frames, in pieces": lambda: [list(reader.feed(piece)) for piece in cut],
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
