"""Streams over HTTP; those of the server in the framing that the caller chose.

The head of the response waits for the first message or the status, so that a call which fails at once keeps
its own HTTP status; after one heartbeat interval it is sent anyway. A later failure is the last frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from random import SystemRandom
from typing import Final

from gateway.contract.route_table import RouteMatch
from gateway.exchange.body import MessageBody, UploadBody
from gateway.exchange.call import decode, open_call, open_source
from gateway.exchange.exchange import Exchange
from gateway.exchange.framing import choose_framing, milliseconds
from gateway.exchange.ports import ClientGone, until_sent
from gateway.exchange.response import HttpResponse
from gateway.exchange.success import success
from gateway.exchange.unary import encoder_of_one, read_body, read_response, whole_body
from gateway.exchange.upload import read_upload
from gateway.feeds.source import Encode, Gap, Item, Source
from gateway.transcoding.content_coding import StreamCompressor
from gateway.transcoding.event_ids import END_ID
from gateway.transcoding.frame_encoders import FrameEncoder, SseEncoder
from gateway.transcoding.metadata import Headers, header_value
from gateway.transcoding.status import StatusError, is_retryable
from gateway.transcoding.success_status import CONTENTLESS
from gateway.upstream.port import RequestMessages

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
    encode = encoder_of_one(exchange)
    body = UploadBody(exchange.body, exchange.count_received)
    requests = read_upload(exchange, body)
    async with open_call(exchange, requests) as call:
        with exchange.attend_stream(body.gone, "upload"):
            response = await read_response(exchange, call, encode)
        # behind the block: for a server, a complete response may be the end of the client too
        await until_sent(exchange.respond(response))


async def serve_server_stream(exchange: Exchange) -> None:
    """Answers an exchange, of which the client may stream too, with the messages of its call.

    For a HEAD no call is opened: a stream may have no end.

    Raises:
        StatusError: the request is wrong, or the call failed before the response started.
        ClientGone: the client left.
    """
    encoder, encode = choose_framing(exchange)
    events = encoder.media_type == _SSE
    if exchange.tally is not None:
        exchange.tally.media_type = encoder.media_type
    if events and exchange.last_event_id == END_ID:
        await until_sent(exchange.respond(HttpResponse(204)))  # a browser then does not reconnect
        return
    if not events:
        exchange.last_event_id = ""  # only events have ids
    response = StreamResponse(exchange, encoder, encode)
    data = None if exchange.endpoint.method.stream_type.client else whole_body(exchange)
    body = _body(exchange) if data is None else None
    try:
        with exchange.attend_stream(None if body is None else body.gone, encoder.media_type):
            requests = await _requests(exchange, body, data)
            if exchange.is_head:
                await response.start(())
            else:
                async with open_source(exchange, requests, resumable=events) as source:
                    await response.relay(source)
    except StatusError as error:
        if not response.started:
            if not (exchange.last_event_id and is_retryable(error)):
                raise
            # a browser that reconnects takes any other status for the end
            metadata = exchange.edge.metadata
            await response.start(metadata.fitting(metadata.headers(error.initial)))
        exchange.failure = error
        await response.fail(error)
    else:
        await response.end()


async def refuse_reader(exchange: Exchange, error: StatusError) -> bool:
    """Tells a reader of events that reconnects, by an event, that it is refused for now.

    A browser takes any status but 200 for the end of the stream, and never comes back. Returns False, and has
    done nothing, for other requests and for errors that a retry does not mend.
    """
    route = exchange.request.route
    request = exchange.request
    if not isinstance(route, RouteMatch) or exchange.websocket is not None or request.rpc:
        return False
    if not exchange.endpoint.method.stream_type.server or not is_retryable(error):
        return False
    try:
        encoder, encode = choose_framing(exchange)
    except StatusError:  # what takes no framing is no reader of events
        return False
    if encoder.media_type != _SSE or exchange.last_event_id == END_ID:
        return False
    await exchange.in_task()
    exchange.failure = error
    response = StreamResponse(exchange, encoder, encode)
    await response.start(())
    await response.fail(error)
    return True


def _body(exchange: Exchange) -> MessageBody | UploadBody:
    if exchange.endpoint.method.stream_type.client:
        return UploadBody(exchange.body, exchange.count_received)
    return MessageBody(exchange.body, exchange.deadline, exchange.count_received)


async def _requests(
    exchange: Exchange, body: MessageBody | UploadBody | None, data: bytes | None
) -> RequestMessages:
    if isinstance(body, UploadBody):
        return read_upload(exchange, body)
    if body is not None:
        data = await read_body(exchange, body)
    message = await decode(exchange, data or b"", last_event_id=exchange.last_event_id)
    exchange.received(len(message))
    return message


class StreamResponse:
    """A response of many messages; while it is silent it sends heartbeats."""

    __slots__ = (
        *("_compressor", "_contentless", "_edge", "_encode", "_encoder", "_exchange", "_heartbeat"),
        *("_is_watched", "_loop", "_starting", "_timer", "_unsent", "_written_at", "started"),
    )

    def __init__(self, exchange: Exchange, encoder: FrameEncoder, encode: Encode) -> None:
        self._exchange = exchange
        self._is_watched = exchange.info is not None or exchange.tally is not None
        self._edge = exchange.edge
        self._encoder = encoder
        self._encode = encode
        self._loop = asyncio.get_running_loop()
        self._written_at = self._loop.time()
        self._heartbeat: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._compressor: StreamCompressor | None = None
        self._unsent = b""
        """Bytes given to `write` that it has not taken: it waits for the client, or was interrupted."""
        self._contentless = self.started = False

    @property
    def media_type(self) -> str:
        """The `Content-Type` of the response."""
        return self._encoder.media_type

    async def relay(self, source: Source) -> None:
        """Sends what the source has, from its first items on."""
        self._encode = source.shared_encoder(self._encode)
        self._check_heartbeat(source)
        try:
            async for new in source:
                items, refused = self._told(new) if self._is_watched else (new, None)
                frames, failure = self._frames(items)
                failure = failure or refused
                if self.started and not self._starting.locked():
                    await self._write(frames)
                elif frames:
                    source.mark_started()
                    await self._start(source, frames)
                if failure is not None:
                    raise failure
                write_now = self._exchange.write_now
                if frames and not self._is_checked and write_now is not None:
                    source.set_direct_writer(partial(self._write_at_once, write_now))
            await self._start(source)
        finally:
            self._timer.cancel()
            if self._heartbeat is not None:
                self._heartbeat.cancel()

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

    @property
    def _is_checked(self) -> bool:
        """Whether policies decide about each message, which a direct writer cannot ask."""
        return self._exchange.info is not None and bool(self._exchange.info.sent_checks)

    def _told(self, items: Sequence[Item]) -> tuple[Sequence[Item], StatusError | None]:
        """Tells policies, observers and the tally; returns the items up to one refused, and why it is."""
        tally = self._exchange.tally
        if tally is not None and self._exchange.info is None:
            return tally.sent(items), None
        for number, item in enumerate(items):
            if isinstance(item, Gap):
                self._exchange.dropped(item.missed)
                continue
            try:
                self._exchange.sent(len(item.message))
            except StatusError as error:
                return items[:number], error
        return items, None

    def _write_at_once(self, write: Callable[[bytes], bool], items: Sequence[Item]) -> bool:
        """Writes items that need no waiting; frames after the first do not depend on earlier ones."""
        if self._unsent:  # a heartbeat, which goes first
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
        self._exchange.bytes_out += len(frames)
        if self._is_watched:
            self._told(items)
        self._written_at = self._loop.time()
        return True

    async def _start(self, source: Source, frames: bytes = b"") -> None:
        """Sends the head that the source's initial metadata ask for, and the first frames."""
        if self.started:
            await self.start((), frames)
            return
        initial = await source.initial_metadata()
        status, headers = success(
            self._exchange,
            initial,
            may_be_empty=not frames,
            events=self.media_type == _SSE,
        )
        await self.start(headers, frames, status)

    async def start(self, headers: Headers, frames: bytes = b"", status: int = 200) -> None:
        """Sends the head of the response, unless it was sent, and the first frames."""
        async with self._starting:
            if not self.started:
                self.started = True
                if status in CONTENTLESS:
                    self._contentless = True
                    await until_sent(self._exchange.respond(HttpResponse(status, headers=headers)))
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
            media_type, headers, self._exchange.request.head.accept_encoding
        )
        await self._exchange.start(status, (content_type, *own, *headers))

    async def end(self) -> None:
        """Ends the response cleanly."""
        if not self._contentless:
            await self._end(self._encoder.end())

    async def fail(self, error: StatusError) -> None:
        """Ends the response with a status; cuts it where the framing has no room for one.

        Raises:
            StatusError: the connection has to be cut.
        """
        status = self._exchange.request.served.transcoder.errors.status(error.status)
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
            await self._exchange.write(body)
            self._unsent = self._unsent[len(body) :]

    async def _end(self, data: bytes) -> None:
        """Sends the last bytes, behind those whose sending was interrupted: they cannot be read without."""
        body = data if self._compressor is None else self._compressor.finish(data)
        await self._exchange.end(self._unsent + body)

    def _coded(self, data: bytes) -> bytes:
        return data if self._compressor is None or not data else self._compressor.compress(data)

    def _check_heartbeat(self, source: Source) -> None:
        """Sends a heartbeat if the interval has passed; checks again when it next may have.

        A silent response starts with one. A task is made only for a heartbeat, which most responses rarely
        need.
        """
        now, seconds = self._loop.time(), self._edge.limits.heartbeat
        due = self._written_at + seconds
        if now >= due:
            due = now + seconds
            idle = self._encoder.heartbeat()
            if idle and (self._heartbeat is None or self._heartbeat.done()):
                source.mark_started()
                self._heartbeat = asyncio.ensure_future(self._send_heartbeat(idle))
        self._timer = self._loop.call_at(due, self._check_heartbeat, source)

    async def _send_heartbeat(self, idle: bytes) -> None:
        with suppress(ClientGone):  # the block that watches the client notices it
            await self.start((), idle)
