"""Streams over WebSocket, in the subprotocol of `gateway.transcoding.websocket_protocol`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from gateway.edge.client import ClientGone
from gateway.edge.exchange import Exchange, Limits
from gateway.edge.types import Event, Receive, Scope, Send
from gateway.transcoding.request_head import RequestHead
from gateway.transcoding.status import (
    DEADLINE_EXCEEDED,
    INVALID_ARGUMENT,
    OK,
    PERMISSION_DENIED,
    UNAVAILABLE,
    StatusError,
)
from gateway.transcoding.transcoder import Transcoder
from gateway.transcoding.websocket_protocol import (
    CLOSE_GOING_AWAY,
    CLOSE_TOO_BIG,
    SUBPROTOCOL,
    HalfClose,
    close_code,
    close_reason,
    read_frame,
)
from gateway.upstream.port import Call


class WebSocketClient:
    """The client's frames."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read_all = asyncio.Event()

    async def frames(self) -> AsyncIterator[bytes]:
        """Yields the JSON of each message up to the half-close."""
        while True:
            event = await self._next()
            frame = read_frame(event.get("text"), event.get("bytes"))
            if isinstance(frame, HalfClose):
                self._read_all.set()
                return
            yield frame

    async def _next(self) -> Event:
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            raise ClientGone
        return event

    def half_close(self) -> None:
        """Says that nobody will read frames: the method takes none."""
        self._read_all.set()

    async def gone(self) -> None:
        """Returns when the client has left; what it sends after its half-close is not read."""
        await self._read_all.wait()
        while (await self._receive())["type"] != "websocket.disconnect":
            pass


async def serve_websocket(exchange: Exchange, subprotocols: list[str]) -> None:
    """Answers a handshake, and then the frames, of a method of which at least one side streams.

    Raises:
        StatusError: the handshake is refused.
        ClientGone: the client left.
    """
    _check_origin(exchange.head, exchange.edge.limits)
    subprotocol = _subprotocol(subprotocols)
    await _next_connect(exchange.receive)
    await exchange.send({"type": "websocket.accept", "subprotocol": subprotocol})
    client = WebSocketClient(exchange.receive)
    try:
        async with exchange.edge.attend_stream(client.gone):
            requests = await _requests(exchange, client)
            async with exchange.open(requests) as call:
                await _answer(exchange, call)
        code, reason = close_code(OK), ""
    except StatusError as error:
        code, reason = close_code(error.code), close_reason(error.status.message)
        if exchange.edge.closing and error.code == UNAVAILABLE:
            code = CLOSE_GOING_AWAY
        elif error.http_status == 413:
            code = CLOSE_TOO_BIG
    await exchange.send({"type": "websocket.close", "code": code, "reason": reason})


async def _requests(exchange: Exchange, client: WebSocketClient) -> bytes | AsyncIterator[bytes]:
    """Returns what the call is opened with: all frames, or the one message that the method takes."""
    endpoint = exchange.endpoint
    if endpoint.method.stream_type.client:
        return exchange.messages(client.frames())
    frame = b""
    if endpoint.binding.body is not None:
        try:
            async with asyncio.timeout_at(exchange.deadline.at):
                frame = await anext(client.frames(), b"")
        except TimeoutError:
            raise StatusError.of(DEADLINE_EXCEEDED, "no frame arrived in time") from None
    client.half_close()
    return endpoint.decode_request(exchange.captures, exchange.query, frame)


async def _answer(exchange: Exchange, call: Call) -> None:
    encode = exchange.endpoint.encode_response
    async for message in call:
        await exchange.send({"type": "websocket.send", "text": encode(message).decode()})


async def _next_connect(receive: Receive) -> None:
    if (await receive())["type"] != "websocket.connect":
        raise ClientGone


def _subprotocol(offered: list[str]) -> str | None:
    """Chooses ours where it is offered; a client that offers none at all, a person's, gets it too."""
    if not offered:
        return None
    if SUBPROTOCOL not in offered:
        raise StatusError.of(INVALID_ARGUMENT, f"the subprotocol spoken here is {SUBPROTOCOL}")
    return SUBPROTOCOL


def _check_origin(head: RequestHead, limits: Limits) -> None:
    """Lets a page of another site in only where the operator said so (RFC 6455, section 10.2)."""
    if not head.origin or head.origin in limits.origins or "*" in limits.origins:
        return
    _, _, authority = head.origin.partition("://")  # RFC 6454, 6.2: nothing comes after it
    if not authority or authority != head.host:
        raise StatusError.of(PERMISSION_DENIED, f"the origin {head.origin!r} is not allowed")


async def refuse(send: Send, scope: Scope, transcoder: Transcoder, error: StatusError) -> None:
    """Answers a handshake with an error, in JSON where the server can send a body with it."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": ""})
        return
    headers = [(b"content-type", b"application/json"), *error.headers]
    await send(
        {"type": "websocket.http.response.start", "status": error.http_status, "headers": headers}
    )
    body = transcoder.errors.status(error.status)
    await send({"type": "websocket.http.response.body", "body": body})
