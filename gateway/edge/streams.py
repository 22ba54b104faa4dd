"""Streams over HTTP; those that the server sends in the framing that the caller chose.

The headers of an answer wait for the first message or the status, so that a call which fails at once keeps
its own HTTP status; a server that stays silent for as long as a heartbeat lets them go. What fails later is
the last frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.edge.answer import send_answer
from gateway.edge.client import HttpClient, UploadClient
from gateway.edge.exchange import Exchange
from gateway.edge.unary import encoder_of_one, read_answer, read_body
from gateway.edge.upload import read_upload
from gateway.transcoding.endpoint import Endpoint
from gateway.transcoding.frame_encoders import (
    FrameEncoder,
    JsonArrayEncoder,
    NdjsonEncoder,
    RawEncoder,
    SseEncoder,
)
from gateway.transcoding.metadata import header_value
from gateway.transcoding.negotiation import require
from gateway.transcoding.status import Headers, StatusError
from gateway.upstream.port import Call, Requests

_ENCODERS: Final[dict[str, Callable[[], FrameEncoder]]] = {
    "application/x-ndjson": NdjsonEncoder,
    "text/event-stream": SseEncoder,
    "application/json": JsonArrayEncoder,
}
_OFFERED: Final = tuple(_ENCODERS)
_STREAM_HEADERS: Final = (
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx's word for "do not hold this back"
)


async def serve_client_stream(exchange: Exchange) -> None:
    """Answers an upload with the one message of its call.

    Raises:
        StatusError: a message is wrong, or the call failed.
        ClientGone: the client left.
    """
    encode = encoder_of_one(exchange)
    client = UploadClient(exchange.receive)
    requests = read_upload(exchange, client)
    async with exchange.open(requests) as call:
        async with exchange.edge.attend_stream(client.gone):
            answer = await read_answer(exchange, call, encode)
        await send_answer(exchange.send, *answer)


async def serve_server_stream(exchange: Exchange, *, headers_only: bool) -> None:
    """Answers an exchange, of which the client may stream too, with the messages of its call.

    Args:
        exchange: what has come in.
        headers_only: whether it is a HEAD, for which no call is opened: a stream may have no end.

    Raises:
        StatusError: the request is wrong, or the call failed before the answer began.
        ClientGone: the client left.
    """
    answer = _answer(exchange)
    streams = exchange.endpoint.method.stream_type.client
    client = (UploadClient if streams else HttpClient)(exchange.receive)
    try:
        async with exchange.edge.attend_stream(client.gone):
            requests = await _requests(exchange, client)
            if headers_only:
                await answer.start(())
            else:
                async with exchange.open(requests) as call:
                    await answer.relay(call)
    except StatusError as error:
        if not answer.started:
            raise
        await answer.fail(error)
    else:
        await answer.end()


async def _requests(exchange: Exchange, client: HttpClient | UploadClient) -> Requests:
    if isinstance(client, UploadClient):
        return read_upload(exchange, client)
    body = await read_body(exchange, client)
    return exchange.endpoint.decode_request(
        exchange.captures, exchange.query, body, content_type=exchange.head.content_type
    )


def _answer(exchange: Exchange) -> StreamAnswer:
    if exchange.endpoint.gives_raw:
        raw = RawEncoder()
        return StreamAnswer(exchange, raw, _unwrapping(exchange.endpoint, raw))
    media_type = require(exchange.head.accept, _OFFERED)
    return StreamAnswer(exchange, _ENCODERS[media_type](), exchange.encoder(media_type))


def _unwrapping(endpoint: Endpoint, encoder: RawEncoder) -> Callable[[bytes], bytes]:
    """Returns what takes the data out of HttpBody messages; the first says what it all is."""

    def unwrap(message: bytes) -> bytes:
        raw = endpoint.raw_response(message)
        encoder.begin(raw.content_type)
        return raw.data

    return unwrap


class StreamAnswer:
    """An answer of many messages; while it is silent it shows that it lives."""

    def __init__(
        self, exchange: Exchange, encoder: FrameEncoder, encode: Callable[[bytes], bytes]
    ) -> None:
        self._exchange = exchange
        self._encoder = encoder
        self._encode = encode
        self._send = exchange.send
        self._written = False
        self._starting = asyncio.Lock()
        self.started = False

    async def relay(self, call: Call) -> None:
        """Sends what the call answers, from the first message on."""
        encode, frame = self._encode, self._encoder.message
        beating = asyncio.ensure_future(self._beat())
        try:
            message = await anext(call, None)
            head = frame(encode(message)) if message is not None else b""
            await self.start(self._exchange.edge.metadata.headers(await call.initial_metadata()))
            await self._write(head)
            async for message in call:
                await self._write(frame(encode(message)))
        finally:
            beating.cancel()

    async def start(self, headers: Headers) -> None:
        """Sends the head of the answer, unless it has gone out already."""
        async with self._starting:
            if self.started:
                return
            self.started = True
            names = {name for name, _ in headers}
            own = [header for header in _STREAM_HEADERS if header[0] not in names]
            content_type = (b"content-type", header_value(self._encoder.media_type))
            await self._send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [content_type, *own, *headers],
                }
            )
            await self._write(self._encoder.start())

    async def end(self) -> None:
        """Ends the answer cleanly."""
        await self._end(self._encoder.end())

    async def fail(self, error: StatusError) -> None:
        """Ends the answer with a status; where the framing has no room for one, by cutting it.

        Raises:
            StatusError: the connection has to be cut.
        """
        last = self._encoder.error(self._exchange.edge.transcoder.errors.status(error.status))
        if last is None:
            raise error
        await self._end(last)

    async def _write(self, data: bytes) -> None:
        self._written = True
        if data:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _end(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data})

    async def _beat(self) -> None:
        """Shows that the answer lives; one whose server has not spoken yet begins with that."""
        idle = self._encoder.idle()
        while idle:
            self._written = False
            await asyncio.sleep(self._exchange.edge.limits.heartbeat)
            if not self._written:
                await self.start(())
                await self._write(idle)
