"""Streams over HTTP; those that the server sends in the framing that the caller chose.

The headers of an answer wait for the first message or the status, so that a call which fails at once keeps
its own HTTP status; a server that stays silent for as long as a heartbeat lets them go. What fails later is
the last frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from random import SystemRandom
from typing import Final

from gateway.edge.answer import Whole
from gateway.edge.client import ClientGone, HttpClient, UploadClient
from gateway.edge.exchange import Exchange
from gateway.edge.framing import choose_framing, milliseconds
from gateway.edge.success import success
from gateway.edge.types import Write
from gateway.edge.unary import encoder_of_one, read_answer, read_body
from gateway.edge.upload import read_upload
from gateway.feeds.source import Encode, Gap, Item, Source
from gateway.transcoding.content_coding import StreamCompressor
from gateway.transcoding.event_ids import END_ID
from gateway.transcoding.frame_encoders import FrameEncoder, SseEncoder
from gateway.transcoding.metadata import Headers, header_value
from gateway.transcoding.status import StatusError, is_retryable
from gateway.transcoding.success_status import CONTENTLESS
from gateway.upstream.port import Requests

_SSE: Final = SseEncoder.media_type
_RANDOM: Final = SystemRandom()
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
    encode = encoder_of_one(exchange.edge, exchange.endpoint, exchange.head)
    client = UploadClient(exchange.receive)
    requests = read_upload(exchange, client)
    async with exchange.open(requests) as call:
        with exchange.edge.attend_stream(client.gone):
            answer = await read_answer(exchange, call, encode)
        # for a server, a complete answer may be the end of the client too
        await exchange.answer.whole(answer)


async def serve_server_stream(exchange: Exchange) -> None:
    """Answers an exchange, of which the client may stream too, with the messages of its call.

    For a HEAD no call is opened: a stream may have no end.

    Raises:
        StatusError: the request is wrong, or the call failed before the answer began.
        ClientGone: the client left.
    """
    answer = _answer(exchange)
    if answer.media_type == _SSE and exchange.head.last_event_id == END_ID:
        await exchange.answer.whole(Whole(204))  # which is how a browser learns not to come back
        return
    if answer.media_type != _SSE:
        exchange.head.last_event_id = ""  # only events have ids
    client = _client(exchange)
    try:
        with exchange.edge.attend_stream(client.gone):
            requests = await _requests(exchange, client)
            if exchange.answer.head:
                await answer.start(())
            else:
                resumable = answer.media_type == _SSE
                async with exchange.source(requests, resumable=resumable) as source:
                    await answer.relay(source)
    except StatusError as error:
        if not answer.started:
            if not (exchange.head.last_event_id and is_retryable(error)):
                raise
            # a browser that comes back takes any other status for the end
            metadata = exchange.edge.metadata
            await answer.start(metadata.fitting(metadata.headers(error.initial)))
        await answer.fail(error)
    else:
        await answer.end()


def _client(exchange: Exchange) -> HttpClient | UploadClient:
    if exchange.endpoint.method.stream_type.client:
        return UploadClient(exchange.receive)
    return HttpClient(exchange.receive, exchange.deadline)


async def _requests(exchange: Exchange, client: HttpClient | UploadClient) -> Requests:
    if isinstance(client, UploadClient):
        return read_upload(exchange, client)
    body = await read_body(exchange, client)
    return await exchange.decode(body, last_event_id=exchange.head.last_event_id)


def _answer(exchange: Exchange) -> StreamAnswer:
    return StreamAnswer(exchange, *choose_framing(exchange))


class StreamAnswer:
    """An answer of many messages; while it is silent it shows that it lives."""

    def __init__(self, exchange: Exchange, encoder: FrameEncoder, encode: Encode) -> None:
        self._edge = exchange.edge
        self._encoder = encoder
        self._encode = encode
        self._send = exchange.answer
        self._loop = asyncio.get_running_loop()
        self._written_at = self._loop.time()
        self._beating: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._endpoint = exchange.endpoint
        self._request = tuple(exchange.head.metadata)
        self._accept_encoding = exchange.head.accept_encoding
        self._compressor: StreamCompressor | None = None
        self._unsent = b""
        """What `send` was given and has not taken: it waits for the client, or was interrupted there."""
        self._contentless = False
        self.started = False

    @property
    def media_type(self) -> str:
        """The `Content-Type` of the answer."""
        return self._encoder.media_type

    async def relay(self, source: Source) -> None:
        """Sends what the source has, from its first items on."""
        self._beat(source)
        try:
            async for items in source:
                frames, failure = self._frames(items)
                if self.started and not self._starting.locked():
                    await self._write(frames)
                elif frames:
                    source.mark_started()
                    await self._start(source, frames)
                if failure is not None:
                    raise failure
                if frames and self._send.write is not None:
                    source.set_direct_writer(partial(self._write_at_once, self._send.write))
            await self._start(source)
        finally:
            self._timer.cancel()
            if self._beating is not None:
                self._beating.cancel()

    def _frames(self, items: Iterable[Item]) -> tuple[bytes, StatusError | None]:
        """Returns the frames of some items, up to one that cannot be written, and why it cannot."""
        frames: list[bytes] = []
        encode, message = self._encode, self._encoder.message
        for item in items:
            if isinstance(item, Gap):
                frames.append(self._encoder.gap(item.json(), item.id))
                continue
            try:
                frames.append(message(item.json(encode), item.id))
            except StatusError as error:
                return b"".join(frames), error
        return b"".join(frames), None

    def _write_at_once(self, write: Write, items: Sequence[Item]) -> bool:
        """Writes items that need no waiting; frames after the first do not depend on what was before."""
        if self._unsent:  # a heartbeat, which comes first
            return False
        frames, failure = self._frames(items)
        if failure is not None:
            return False
        if self._compressor is not None:
            if not write(b""):  # what was compressed has to be written
                return False
            frames = self._coded(frames)
        if not write(frames):
            return False
        self._written_at = self._loop.time()
        return True

    async def _start(self, source: Source, frames: bytes = b"") -> None:
        """Sends the head that the source's initial metadata ask for, and the first frames."""
        if self.started:
            await self.start((), frames)
            return
        initial = await source.initial_metadata()
        status, headers = success(
            self._edge,
            self._endpoint,
            self._request,
            initial,
            may_be_empty=not frames,
            events=self.media_type == _SSE,
        )
        await self.start(headers, frames, status)

    async def start(self, headers: Headers, frames: bytes = b"", status: int = 200) -> None:
        """Sends the head of the answer, unless it has gone out already, and the first frames."""
        async with self._starting:
            if not self.started:
                self.started = True
                if status in CONTENTLESS:
                    self._contentless = True
                    await self._send.whole(Whole(status, headers=headers))
                    return
                await self._send_head(status, headers)
                frames = self._encoder.start() + frames
            await self._write(frames)

    async def _send_head(self, status: int, headers: Headers) -> None:
        names = {name for name, _ in headers}
        own = [header for header in _STREAM_HEADERS if header[0] not in names]
        media_type = self._encoder.media_type
        content_type = (b"content-type", header_value(media_type))
        headers, self._compressor = self._edge.compression.of_stream(
            media_type, headers, self._accept_encoding
        )
        await self._send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [content_type, *own, *headers],
            }
        )

    async def end(self) -> None:
        """Ends the answer cleanly."""
        if not self._contentless:
            await self._end(self._encoder.end())

    async def fail(self, error: StatusError) -> None:
        """Ends the answer with a status; where the framing has no room for one, by cutting it.

        Raises:
            StatusError: the connection has to be cut.
        """
        status = self._edge.transcoder.errors.status(error.status)
        last = self._encoder.error(status, self._retry(error) if is_retryable(error) else None)
        if last is None:
            raise error
        await self._end(last)

    def _retry(self, error: StatusError) -> int:
        """Returns the milliseconds after which to come back after an error.

        At least what its server says, and what the settings say; with up to `retry_seconds` more, for
        all may be told at once.
        """
        usual = self._edge.limits.retry
        least = max(usual, error.retry_seconds or 0.0)
        return milliseconds(least + usual * _RANDOM.uniform(0, 1))

    async def _write(self, data: bytes) -> None:
        self._written_at = self._loop.time()
        if data:
            body = self._coded(data)
            self._unsent += body
            await self._send({"type": "http.response.body", "body": body, "more_body": True})
            self._unsent = self._unsent[len(body) :]

    async def _end(self, data: bytes) -> None:
        """Sends the last bytes, behind those whose sending was interrupted: they cannot be read without."""
        body = data if self._compressor is None else self._compressor.finish(data)
        await self._send({"type": "http.response.body", "body": self._unsent + body})

    def _coded(self, data: bytes) -> bytes:
        return data if self._compressor is None or not data else self._compressor.compress(data)

    def _beat(self, source: Source) -> None:
        """Shows that the answer lives, if it was silent for so long; and looks again when it may have been.

        A silent answer begins with that. A task is made only for a beat: most answers are seldom silent.
        """
        now, seconds = self._loop.time(), self._edge.limits.heartbeat
        due = self._written_at + seconds
        if now >= due:
            due = now + seconds
            idle = self._encoder.heartbeat()
            if idle and (self._beating is None or self._beating.done()):
                source.mark_started()
                self._beating = asyncio.ensure_future(self._show_life(idle))
        self._timer = self._loop.call_at(due, self._beat, source)

    async def _show_life(self, idle: bytes) -> None:
        with suppress(ClientGone):  # which is noticed where the client is attended
            await self.start((), idle)
