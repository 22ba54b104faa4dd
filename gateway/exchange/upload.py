"""Streams that the client sends over HTTP: NDJSON, a JSON text sequence or array, or an HttpBody's data."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from functools import partial
from typing import Final

from google.rpc.error_details_pb2 import BadRequest

from gateway.exchange.body import UploadBody, body_too_large
from gateway.exchange.call import decode_all
from gateway.exchange.exchange import Exchange
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
from gateway.transcoding.status import StatusError, bad_request

_DECODERS: Final[dict[str, Callable[[int], FrameDecoder]]] = {
    "application/json": JsonArrayDecoder,
    "application/json-seq": JsonSeqDecoder,
    "application/x-ndjson": NdjsonDecoder,
    "application/ndjson": NdjsonDecoder,
    "application/jsonl": NdjsonDecoder,
    "application/x-jsonlines": NdjsonDecoder,
}
_STREAM_TYPES: Final = frozenset(_DECODERS)
_MORE: Final = "unexpected content after document"
"""Ends the JSON parser's text if something follows the JSON text."""
_LINE_BREAKS: Final = "; one message a line (curl: --data-binary keeps line breaks)"
_PIECE_BYTES: Final = 16 * 1024
"""Bytes in which messages are looked for in one turn of the event loop: they may be as many empty lines."""


def read_upload(exchange: Exchange, body: UploadBody) -> AsyncIterator[bytes]:
    """Returns the messages of an upload, each as it arrives; path and query speak in the first.

    Raises:
        StatusError: 415, the body is said to be what it must not be. Iteration raises what is wrong with
            its coding or its frames, and ClientGone.
    """
    content = content_decoder(exchange.request.head.content_encoding)
    decoder = _decoder(exchange)
    frames = _frames(exchange, body, content, decoder)
    return decode_all(exchange, frames, partial(_with_line_breaks, decoder))


def _with_line_breaks(decoder: FrameDecoder, error: StatusError) -> StatusError:
    """Adds that line breaks are missing to the error of a line of NDJSON that has several messages."""
    detail = BadRequest()
    if not (
        decoder.is_ndjson
        and _MORE in error.status.message
        and any(each.Unpack(detail) for each in error.status.details)
    ):
        return error
    return bad_request(
        (
            each.field,
            each.description + (_LINE_BREAKS if each.description.endswith(_MORE) else ""),
        )
        for each in detail.field_violations
    )


def _decoder(exchange: Exchange) -> FrameDecoder:
    head, limit = exchange.request.head, exchange.edge.limits.max_message
    if exchange.endpoint.has_raw_request:
        return RawDecoder(limit)
    check_json(head.content_type, _STREAM_TYPES)
    return _DECODERS.get(media_type(head.content_type), SniffingDecoder)(limit)


async def _frames(
    exchange: Exchange, body: UploadBody, content: ContentDecoder, decoder: FrameDecoder
) -> AsyncIterator[bytes]:
    """Yields the frames of a body, which is decoded and looked through a piece a turn of the loop."""
    try:
        async for chunk in body.chunks():
            for number, piece in enumerate(_pieces(content.feed(chunk), decoder)):
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


def _pieces(decoded: Iterable[bytes], decoder: FrameDecoder) -> Iterator[bytes]:
    """Cuts what is JSON; raw data are a frame as they come."""
    for data in decoded:
        if len(data) <= _PIECE_BYTES or isinstance(decoder, RawDecoder):
            yield data
        else:
            yield from (data[at : at + _PIECE_BYTES] for at in range(0, len(data), _PIECE_BYTES))
