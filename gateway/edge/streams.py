"""Streams over HTTP: uploads in NDJSON or a JSON array, answers in the framing that the caller chose.

The headers of an answer wait for the first message or the status, so that a call which fails at once keeps
its own HTTP status. What fails later is the last frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from gateway.edge.answer import send_answer
from gateway.edge.client import Attendance, HttpClient, body_too_large
from gateway.edge.exchange import Exchange
from gateway.transcoding.framing import (
    FrameDecoder,
    FrameEncoder,
    FrameError,
    FrameTooLarge,
    JsonArrayDecoder,
    JsonArrayEncoder,
    NdjsonDecoder,
    NdjsonEncoder,
    SniffingDecoder,
    SseEncoder,
)
from gateway.transcoding.negotiation import choose
from gateway.transcoding.status import INVALID_ARGUMENT, Headers, StatusError, bad_request
from gateway.upstream.port import Call

_ENCODERS: Final[dict[str, Callable[[], FrameEncoder]]] = {
    encoder.media_type: encoder for encoder in (NdjsonEncoder, SseEncoder, JsonArrayEncoder)
}
_STREAM_TYPES: Final = tuple(_ENCODERS)
_DECODERS: Final[dict[str, Callable[[int], FrameDecoder]]] = {
    "application/json": JsonArrayDecoder,
    "application/x-ndjson": NdjsonDecoder,
    "application/ndjson": NdjsonDecoder,
    "application/jsonl": NdjsonDecoder,
    "application/x-jsonlines": NdjsonDecoder,
}
_STREAM_HEADERS: Final = (
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx's word for "do not hold this back"
)


async def serve_stream(exchange: Exchange) -> None:
    """Answers an exchange of which at least one side streams.

    Raises:
        StatusError: the request is wrong, or the call failed before the answer began.
        ClientGone: the client left.
    """
    edge, stream_type = exchange.edge, exchange.endpoint.method.stream_type
    encoder = _encoder(exchange.head.accept) if stream_type.server else None
    client = HttpClient(exchange.receive)
    requests: bytes | AsyncIterator[bytes]
    if stream_type.client:
        requests = _uploaded(exchange, client)
    else:
        body = await client.body(edge.limits.max_message)
        requests = exchange.endpoint.decode_request(exchange.captures, exchange.query, body)
    attendance = Attendance(client.gone, edge.attendances)
    if encoder is None:
        async with attendance, exchange.open(requests) as call:
            await _answer_once(exchange, call)
        return
    answer = StreamAnswer(exchange, encoder)
    try:
        async with attendance, exchange.open(requests) as call:
            await answer.relay(call)
    except StatusError as error:
        if not answer.started:
            raise
        await answer.fail(error)
    else:
        await answer.end()


def _encoder(accept: str) -> FrameEncoder:
    media_type = choose(accept, _STREAM_TYPES)
    if media_type is None:
        raise StatusError.of(
            INVALID_ARGUMENT,
            f"this stream is written as {', '.join(_STREAM_TYPES)}; Accept takes none of them",
            http_status=406,
        )
    return _ENCODERS[media_type]()


async def _uploaded(exchange: Exchange, client: HttpClient) -> AsyncIterator[bytes]:
    """Yields the messages of an upload as they arrive; path and query speak in the first."""
    endpoint, limit = exchange.endpoint, exchange.edge.limits.max_message
    decoder = _DECODERS.get(exchange.head.content_type, SniffingDecoder)(limit)
    number = 0
    async for frame in _frames(client, decoder, limit):
        step = f"[{number}]"
        if number == 0:
            yield endpoint.decode_request(exchange.captures, exchange.query, frame, step=step)
        else:
            yield endpoint.decode_frame(frame, step=step)
        number += 1


async def _frames(client: HttpClient, decoder: FrameDecoder, limit: int) -> AsyncIterator[bytes]:
    try:
        async for chunk in client.chunks():
            for frame in decoder.feed(chunk):
                yield frame
        for frame in decoder.close():
            yield frame
    except FrameTooLarge as error:
        raise body_too_large(limit) from error
    except FrameError as error:
        raise bad_request([(f"[{error.number}]", str(error))]) from error


async def _answer_once(exchange: Exchange, call: Call) -> None:
    answer = exchange.endpoint.encode_response(await anext(call))
    headers = exchange.edge.metadata.headers(await call.initial_metadata())
    await send_answer(exchange.send, 200, answer, headers)


class StreamAnswer:
    """An answer of many messages; while it is silent it shows that it lives."""

    def __init__(self, exchange: Exchange, encoder: FrameEncoder) -> None:
        self._exchange = exchange
        self._encoder = encoder
        self._send = exchange.send
        self._written = False
        self.started = False

    async def relay(self, call: Call) -> None:
        """Sends what the call answers, from the first message on."""
        encode, frame = self._exchange.endpoint.encode_response, self._encoder.message
        first = await anext(call, None)
        await self._start(self._exchange.edge.metadata.headers(await call.initial_metadata()))
        beating = asyncio.ensure_future(self._beat())
        try:
            if first is not None:
                await self._write(frame(encode(first)))
            async for message in call:
                await self._write(frame(encode(message)))
        finally:
            beating.cancel()

    async def fail(self, error: StatusError) -> None:
        """Ends the answer with a status."""
        await self._end(
            self._encoder.error(self._exchange.edge.transcoder.encode_status(error.status))
        )

    async def end(self) -> None:
        """Ends the answer cleanly."""
        await self._end(self._encoder.end())

    async def _start(self, headers: Headers) -> None:
        self.started = True
        content_type = (b"content-type", self._encoder.media_type.encode())
        await self._send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [content_type, *_STREAM_HEADERS, *headers],
            }
        )
        await self._write(self._encoder.start())

    async def _write(self, data: bytes) -> None:
        self._written = True
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _end(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data})

    async def _beat(self) -> None:
        while True:
            self._written = False
            await asyncio.sleep(self._exchange.edge.limits.heartbeat)
            if not self._written:
                await self._write(self._encoder.idle())
