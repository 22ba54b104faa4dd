"""Streams that the client sends over HTTP: NDJSON, a JSON text sequence or array, or an HttpBody's data."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from gateway.edge.client import UploadClient, body_too_large
from gateway.edge.exchange import Exchange
from gateway.transcoding.content_coding import ContentDecoder, content_decoder
from gateway.transcoding.frame_decoders import (
    FrameDecoder,
    FrameError,
    FrameTooLarge,
    JsonArrayDecoder,
    JsonSeqDecoder,
    NdjsonDecoder,
    RawDecoder,
    SniffingDecoder,
)
from gateway.transcoding.negotiation import check_json, media_type
from gateway.transcoding.status import bad_request

_DECODERS: Final[dict[str, Callable[[int], FrameDecoder]]] = {
    "application/json": JsonArrayDecoder,
    "application/json-seq": JsonSeqDecoder,
    "application/x-ndjson": NdjsonDecoder,
    "application/ndjson": NdjsonDecoder,
    "application/jsonl": NdjsonDecoder,
    "application/x-jsonlines": NdjsonDecoder,
}
_STREAM_TYPES: Final = frozenset(_DECODERS)


def read_upload(exchange: Exchange, client: UploadClient) -> AsyncIterator[bytes]:
    """Returns the messages of an upload, each as it arrives; path and query speak in the first.

    Raises:
        StatusError: 415, the body is said to be what it must not be. Iteration raises what is wrong with
            its coding or its frames, and ClientGone.
    """
    content = content_decoder(exchange.head.content_encoding)
    return exchange.messages(_frames(exchange, client, content, _decoder(exchange)))


def _decoder(exchange: Exchange) -> FrameDecoder:
    head, limit = exchange.head, exchange.edge.limits.max_message
    if exchange.endpoint.takes_raw:
        return RawDecoder(limit)
    check_json(head.content_type, _STREAM_TYPES)
    return _DECODERS.get(media_type(head.content_type), SniffingDecoder)(limit)


async def _frames(
    exchange: Exchange, client: UploadClient, content: ContentDecoder, decoder: FrameDecoder
) -> AsyncIterator[bytes]:
    """Yields the frames of a body; a compressed one is decoded a piece a turn of the loop."""
    try:
        async for chunk in client.chunks():
            for number, piece in enumerate(content.feed(chunk)):
                if number:
                    await asyncio.sleep(0)
                for frame in decoder.feed(piece):
                    yield frame
        content.close()
        for frame in decoder.close():
            yield frame
    except FrameTooLarge as error:
        raise body_too_large(exchange.edge.limits.max_message) from error
    except FrameError as error:
        raise bad_request([(f"[{error.number}]", str(error))]) from error
