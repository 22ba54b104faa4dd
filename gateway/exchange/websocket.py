"""Streams over WebSocket: the handshake, the call, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from google.rpc.status_pb2 import Status

from gateway.exchange.call import decode, decode_all, open_source
from gateway.exchange.edge import Edge, Limits
from gateway.exchange.exchange import Exchange
from gateway.exchange.ports import WebSocket
from gateway.exchange.websocket_client import WebSocketClient
from gateway.feeds.source import Gap, Source
from gateway.transcoding.metadata_size import check_metadata
from gateway.transcoding.origin import is_same_origin
from gateway.transcoding.request_head import RequestHead, read_head
from gateway.transcoding.status import (
    DEADLINE_EXCEEDED,
    INVALID_ARGUMENT,
    PERMISSION_DENIED,
    UNAVAILABLE,
    StatusError,
)
from gateway.transcoding.violations import quoted
from gateway.transcoding.websocket_envelope import GrpcJsonEnvelope
from gateway.transcoding.websocket_protocol import (
    CLOSE_GOING_AWAY,
    CLOSE_OK,
    CLOSE_TOO_BIG,
    GrpcJson,
    Subprotocol,
    close_code,
    close_reason,
)
from gateway.upstream.port import RequestMessages

_SWITCHING_PROTOCOLS: Final = 101
_DIALECTS: Final[dict[str, Callable[[], Subprotocol]]] = {
    "grpc-json.v1": GrpcJson,
    "grpc-json-envelope.v1": GrpcJsonEnvelope,
}


async def serve_websocket(exchange: Exchange, socket: WebSocket) -> None:
    """Answers a handshake, and then the frames, of a method of which at least one side streams.

    Raises:
        StatusError: the handshake is refused.
        ClientGone: the client left.
    """
    edge, request = exchange.edge, exchange.request
    info, host, secure = exchange.info, request.head.host, request.secure
    if info is not None:
        host, secure = info.host, info.scheme == "https"
    _check_origin(request.head.origin, edge.limits, host, secure=secure)
    exchange.last_event_id = ""  # only Server-Sent Events have ids
    subprotocol = _subprotocol(request.subprotocols)
    await socket.accept(subprotocol)
    exchange.mark_started(_SWITCHING_PROTOCOLS)
    dialect = _DIALECTS[subprotocol]() if subprotocol else GrpcJson()
    idle = asyncio.timeout(edge.limits.websocket_idle)
    client = WebSocketClient(exchange, socket, dialect, idle)
    status, code = Status(), CLOSE_OK
    try:
        async with _until_idle(idle, edge.limits):
            with exchange.attend_stream(client.gone, "websocket"):
                await _read_headers(exchange, client)
                requests = await _requests(exchange, client)
                async with open_source(exchange, requests) as source:
                    await _answer(exchange, client, source)
        trailers = await source.trailing_metadata()
    except StatusError as error:
        exchange.failure = error
        status, code, trailers = error.status, _close_code(error, edge), error.trailing
        if metadata := edge.metadata.initial(error.initial):
            await client.send_headers(metadata)
    errors = request.served.transcoder.errors
    last = dialect.status(errors.status(status), edge.metadata.trailing(trailers))
    await client.close(last, code, close_reason(status.message))


@asynccontextmanager
async def _until_idle(idle: asyncio.Timeout, limits: Limits) -> AsyncIterator[None]:
    try:
        async with idle:
            yield
    except TimeoutError:
        if not idle.expired():
            raise
        seconds = limits.websocket_idle
        raise StatusError.of(DEADLINE_EXCEEDED, f"no message for {seconds:g} seconds") from None


async def _read_headers(exchange: Exchange, client: WebSocketClient) -> None:
    """Waits for the client's metadata, in a dialect that has a frame for them.

    Raises:
        StatusError: they are wrong, or too large with those of the handshake.
    """
    frame = await client.headers()
    if frame is None:
        return
    head = RequestHead()
    read_head(frame.fields, exchange.edge.metadata, head)
    exchange.replace_metadata(tuple(head.metadata))
    check_metadata(exchange.metadata, exchange.edge.limits.max_metadata)
    if head.timeout is not None:
        exchange.start_deadline(head.timeout)


async def _requests(exchange: Exchange, client: WebSocketClient) -> RequestMessages:
    """Returns what the call is opened with: all messages, or the one that the method takes."""
    endpoint = exchange.endpoint
    if endpoint.method.stream_type.client:
        return decode_all(exchange, client.messages())
    message = b""
    if endpoint.binding.body is not None:
        try:
            async with asyncio.timeout_at(exchange.deadline):
                message = await anext(client.messages(), b"")
        except TimeoutError:
            raise StatusError.of(DEADLINE_EXCEEDED, "no message arrived in time") from None
    client.half_close()
    step = "[0]" if message else ""
    decoded = await decode(exchange, message, step=step)
    exchange.received(len(decoded))
    return decoded


async def _answer(exchange: Exchange, client: WebSocketClient, source: Source) -> None:
    encode = source.shared_encoder(exchange.endpoint.encode_response)
    dialect = client.dialect
    async for items in source:
        if not client.sent_headers:
            source.mark_started()
            await _send_headers(exchange, client, source)
        for item in items:
            if isinstance(item, Gap):
                exchange.dropped(item.missed)
                await client.send(dialect.gap(item.json()))
            else:
                exchange.sent(len(item.message))
                await client.send(dialect.message(item.json(encode)))
    await _send_headers(exchange, client, source)


async def _send_headers(exchange: Exchange, client: WebSocketClient, source: Source) -> None:
    metadata = exchange.edge.metadata.initial(await source.initial_metadata())
    await client.send_headers(metadata)


def _close_code(error: StatusError, edge: Edge) -> int:
    if edge.closing and error.code == UNAVAILABLE:
        return CLOSE_GOING_AWAY
    return CLOSE_TOO_BIG if error.http_status == 413 else close_code(error.code)


def _subprotocol(offered: Sequence[str]) -> str | None:
    """Chooses the client's first that is spoken here; a client that offers none, a person's, names none."""
    if not offered:
        return None
    for name in offered:
        if name in _DIALECTS:
            return name
    spoken = " and ".join(_DIALECTS)
    raise StatusError.of(INVALID_ARGUMENT, f"the subprotocols spoken here are {spoken}")


def _check_origin(page: str, limits: Limits, host: str, *, secure: bool) -> None:
    """Lets a page of another site in only where the operator said so (RFC 6455, section 10.2).

    Raises:
        StatusError: PERMISSION_DENIED, the page's origin is neither the edge's own nor allowed.
    """
    if not page or limits.origins.allow(page):
        return
    if not is_same_origin(page, host, secure=secure):
        raise StatusError.of(
            PERMISSION_DENIED,
            f"the origin {quoted(page)} is not allowed: it is not in cors_origins",
        )
