"""The order of an RPC on its own wire: gRPC, gRPC-Web or Connect.

    messages of the body -> call -> head -> messages of the call -> end

Messages pass as they are, so all kinds of streams are one order: a request is one message or an iterator of
them, and so is a response. A status behind the head is the end of its wire, not a cut. The response of a
unary call is one whole HTTP response on every wire, as where it needs no task.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

from gateway.exchange.body import UploadBody
from gateway.exchange.call import open_call, open_source, read_message
from gateway.exchange.exchange import Exchange
from gateway.exchange.own_calls import AnsweredCall
from gateway.exchange.ports import until_sent
from gateway.exchange.response import HttpResponse, unary_response
from gateway.feeds.source import CallSource, Gap, Item, Source
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.rpc.wire import MessagesReader, RpcWire
from gateway.transcoding.status import DEADLINE_EXCEEDED, UNIMPLEMENTED, StatusError
from gateway.upstream.port import Call, RequestMessages
from grpc_wire.call.message import MESSAGE_COST

_TURN_BYTES: Final = 256 * 1024
"""Bytes of messages that are read in one turn of the event loop: few compressed ones may become many."""


async def serve_rpc(exchange: Exchange, wire: RpcWire) -> None:
    """Answers a call; one that needs no task is for `gateway.exchange.unary_rpc`.

    Raises:
        StatusError: it failed before the response began.
        ClientGone: the client left.
    """
    if exchange.tally is not None:
        exchange.tally.media_type = wire.name
    body = UploadBody(exchange.body, exchange.count_received)
    relay = _Relay(exchange, wire)
    error: StatusError | None = None
    try:
        with exchange.attend_stream(body.gone, wire.name):
            await relay.run(await _requests(exchange, wire, body))
    except StatusError as failure:
        if not relay.started:
            raise
        error = exchange.failure = failure
    # behind the block: for a server, a complete response may be the end of the client too
    await relay.end(error)


def rpc_failure(wire: RpcWire, error: StatusError) -> HttpResponse:
    """Makes the response of a call on a wire of RPC that failed before its response began."""
    failure = wire.failure(error)
    return HttpResponse(
        failure.status,
        failure.body,
        failure.content_type,
        failure.headers,
        trailers=failure.trailers,
    )


class _Relay:
    """The response of one call."""

    def __init__(self, exchange: Exchange, wire: RpcWire) -> None:
        self._exchange = exchange
        self._wire = wire
        self._trailing: Metadata = ()
        self._whole: HttpResponse | None = None
        self._gaps = self._missed = 0
        self.started = False

    async def run(self, requests: RequestMessages) -> None:
        """Calls, and sends what comes.

        Raises:
            StatusError: the call failed.
        """
        exchange = self._exchange
        method = exchange.endpoint.method
        own = exchange.request.served.own_calls.get(method)
        if own is None and method.stream_type.server:
            spec = exchange.endpoint.stream_spec
            is_shared = spec is not None and spec.policy.uses_feed(resumable=False)
            at_once = not (is_shared and isinstance(requests, bytes))
            async with open_source(exchange, requests) as source:
                await self._relay(source, at_once=at_once)
            return
        opened = open_call(exchange, requests) if own is None else AnsweredCall(own, requests)
        async with opened as call:
            if method.streams:
                await self._relay(CallSource(call, with_ids=False), at_once=True)
            else:
                await self._take_whole(call)

    async def _take_whole(self, call: Call) -> None:
        """Makes the response of a call's one message."""
        message = await anext(call)
        self._tell(message)
        initial = await call.initial_metadata()
        trailing = await call.trailing_metadata()
        self._whole = unary_response(self._wire, message, initial, trailing)

    async def _relay(self, source: Source, *, at_once: bool) -> None:
        """Sends the messages of a source; the head goes first, as soon as the server has sent its own.

        A feed has its server's head with its first message (`at_once` is False).
        """
        exchange = self._exchange
        if at_once:
            await self._start(await source.initial_metadata())
        async for items in source:
            parts, refused = self._parts(items)
            if not self.started:
                await self._start(await source.initial_metadata())
            if parts:
                await exchange.write(b"".join(parts))
            if refused is not None:
                raise refused
        if not self.started:
            await self._start(await source.initial_metadata())
        self._trailing = await source.trailing_metadata()

    def _parts(self, items: Sequence[Item]) -> tuple[list[bytes], StatusError | None]:
        """Returns items as they travel, up to one that is refused, and why it is."""
        parts: list[bytes] = []
        for item in items:
            if isinstance(item, Gap):
                self._exchange.dropped(item.missed)
                self._gaps += 1
                self._missed += item.missed
                continue
            try:
                self._tell(item.message)
                parts.append(self._wire.message(item.message))
            except StatusError as error:
                return parts, error
        return parts, None

    def _tell(self, message: bytes) -> None:
        exchange = self._exchange
        if exchange.info is not None or exchange.tally is not None:
            exchange.sent(len(message))

    async def _start(self, initial: Metadata) -> None:
        wire = self._wire
        self.started = True
        content_type = (b"content-type", wire.content_type.encode("latin-1"))
        await self._exchange.start(200, (content_type, *wire.head(initial)))

    async def end(self, error: StatusError | None) -> None:
        """Ends the response.

        Args:
            error: with which a response that has started ends; None: OK.
        """
        if self._whole is not None:
            await until_sent(self._exchange.respond(self._whole))
            return
        if self._gaps:
            told = (("protoway-gaps", str(self._gaps)), ("protoway-missed", str(self._missed)))
            self._trailing += told
            if error is not None:  # it may be that of other readers too
                error = StatusError(error.status, trailing=(*error.trailing, *told))
        data, trailers = self._wire.end(error, self._trailing)
        await self._exchange.end(data, trailers)


async def _requests(exchange: Exchange, wire: RpcWire, body: UploadBody) -> RequestMessages:
    """Returns the request's message, or the iterator over those of a stream.

    Raises:
        StatusError: the body is none of the wire, or has not exactly one message where there must be one;
            DEADLINE_EXCEEDED, it did not arrive in time.
    """
    reader = wire.reader(exchange.edge.limits.max_message)
    messages = _messages(exchange, wire, reader, body)
    if exchange.endpoint.method.stream_type.client:
        return messages
    found: list[bytes] = []
    try:
        async with asyncio.timeout_at(exchange.deadline):
            async for message in messages:
                found.append(message)
                if len(found) > 1:
                    break
    except TimeoutError:
        late = "the request did not arrive in time"
        raise StatusError.of(DEADLINE_EXCEEDED, late) from None
    return only_message(exchange, found)


def only_message(exchange: Exchange, found: Sequence[bytes]) -> bytes:
    """Returns the one message of a request; raises StatusError if it has another number."""
    if len(found) != 1:
        name = exchange.endpoint.method.full_name
        number = "more than one" if found else "none"
        text = f"{name} takes one message, and the request has {number}"
        raise StatusError.of(UNIMPLEMENTED, text)
    return found[0]


def messages_of(reader: MessagesReader, body: bytes) -> Iterator[bytes]:
    """Yields the messages of a body that has come whole."""
    yield from reader.feed(body)
    yield from reader.close()


async def _messages(
    exchange: Exchange, wire: RpcWire, reader: MessagesReader, body: UploadBody
) -> AsyncIterator[bytes]:
    """Yields the messages of a body as they arrive."""
    left = _TURN_BYTES
    async for chunk in body.chunks():
        for data in reader.feed(chunk):
            left -= len(data) + MESSAGE_COST
            if left < 0:
                await asyncio.sleep(0)
                left = _TURN_BYTES
            yield await _received(exchange, wire, data)
    for data in reader.close():
        yield await _received(exchange, wire, data)


async def _received(exchange: Exchange, wire: RpcWire, data: bytes) -> bytes:
    message = await read_message(exchange, wire, data)
    exchange.received(len(message))
    return message
