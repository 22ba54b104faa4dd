"""In which framing a stream is answered, and how its messages become bytes in it."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Final

from gateway.exchange.exchange import Exchange
from gateway.feeds.source import Encode
from gateway.transcoding.endpoint import Endpoint
from gateway.transcoding.frame_encoders import (
    FrameEncoder,
    JsonArrayEncoder,
    JsonSeqEncoder,
    NdjsonEncoder,
    RawEncoder,
    SseEncoder,
)
from gateway.transcoding.negotiation import require

_SSE: Final = SseEncoder.media_type
_ENCODERS: Final[dict[str, Callable[[], FrameEncoder]]] = {
    NdjsonEncoder.media_type: NdjsonEncoder,
    JsonArrayEncoder.media_type: JsonArrayEncoder,
    JsonSeqEncoder.media_type: JsonSeqEncoder,
}
_OFFERED: Final = (
    NdjsonEncoder.media_type,
    _SSE,
    JsonArrayEncoder.media_type,
    JsonSeqEncoder.media_type,
)


def choose_framing(exchange: Exchange) -> tuple[FrameEncoder, Encode]:
    """Returns what frames the messages of an answer, and what encodes each.

    Raises:
        StatusError: 406, the caller takes no framing that there is.
    """
    if exchange.endpoint.has_raw_response:
        raw = RawEncoder()
        return raw, _unwrapping(exchange.endpoint, raw)
    accept = exchange.request.head.accept
    media_type = require(accept, _OFFERED)
    encode = exchange.endpoint.accepted_encoder(accept, media_type)
    return _encoder(exchange, media_type), encode


def milliseconds(seconds: float) -> int:
    """Returns a time as the `retry` of an event stream says it, rounded up."""
    return ceil(seconds * 1000)


def _encoder(exchange: Exchange, media_type: str) -> FrameEncoder:
    if media_type == _SSE:
        return SseEncoder(milliseconds(exchange.edge.limits.retry))
    return _ENCODERS[media_type]()


def _unwrapping(endpoint: Endpoint, encoder: RawEncoder) -> Encode:
    """Returns what takes the data out of HttpBody messages; the first says what it all is."""

    def unwrap(message: bytes) -> bytes:
        content_type, data = endpoint.extract_raw_body(message)
        encoder.set_media_type(content_type)
        return data

    return unwrap
