"""What an exchange sends upstream: the messages of its request, and the call that carries them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

from gateway.exchange.exchange import Exchange
from gateway.feeds.requests import StreamRequest
from gateway.feeds.source import Source
from gateway.transcoding.codec import is_long
from gateway.transcoding.rpc.wire import RpcWire
from gateway.transcoding.status import StatusError
from gateway.upstream.port import Call, RequestMessages


def open_call(exchange: Exchange, requests: RequestMessages) -> AbstractAsyncContextManager[Call]:
    """Opens the call upstream, with the metadata and the time left of an exchange."""
    return exchange.edge.upstream.open(
        exchange.endpoint.method,
        requests,
        metadata=exchange.metadata,
        timeout=exchange.remaining(),
    )


def open_source(
    exchange: Exchange, requests: RequestMessages, *, resumable: bool = False
) -> AbstractAsyncContextManager[Source]:
    """Opens what the answer to a stream is read from; `resumable` if its reader is given ids."""
    return exchange.edge.feeds.open(
        StreamRequest(
            method=exchange.endpoint.method,
            stream_spec=exchange.endpoint.stream_spec,
            requests=requests,
            metadata=exchange.metadata,
            timeout=exchange.remaining(),
            last_event_id=exchange.last_event_id,
            resumable=resumable,
            client=exchange.client,
        )
    )


async def decode(
    exchange: Exchange, body: bytes, *, step: str = "", last_event_id: str = ""
) -> bytes:
    """Returns the message of a request with this body, which may be the first frame of many.

    Long JSON is decoded in a thread, so that others have their turns of the loop meanwhile.

    Args:
        exchange: whose request it is.
        body: as it came, or the frame.
        step: what the violations' paths begin with.
        last_event_id: the id behind which a stream of events goes on.

    Raises:
        StatusError: path, query or body is wrong.
    """
    decode = partial(
        exchange.endpoint.decode_request,
        exchange.captures,
        exchange.query,
        body,
        content_type=exchange.request.head.content_type,
        step=step,
        last_event_id=last_event_id,
    )
    return await _decode_off_loop(exchange, decode, body)


async def decode_all(
    exchange: Exchange,
    frames: AsyncIterator[bytes],
    explain: Callable[[StatusError], StatusError] = lambda error: error,
) -> AsyncIterator[bytes]:
    """Yields the messages of a client's frames, as they arrive; path and query speak in the first.

    Without a frame, path and query are checked all the same. `explain` completes the error of a frame.

    Raises:
        StatusError: a frame is wrong; the violations' paths begin with its number.
    """
    endpoint, number = exchange.endpoint, 0
    async for frame in frames:
        step = f"[{number}]"
        try:
            if number == 0:
                message = await decode(exchange, frame, step=step)
            else:
                later = partial(endpoint.decode_frame, frame, step=step)
                message = await _decode_off_loop(exchange, later, frame)
        except StatusError as error:
            raise explain(error) from None
        exchange.received(len(message))
        yield message
        number += 1
    if number == 0:  # path and query are checked all the same
        endpoint.decode_request(exchange.captures, exchange.query, b"")


async def read_message(exchange: Exchange, wire: RpcWire, data: bytes) -> bytes:
    """Returns the message of a client on a wire of RPC; long JSON is decoded in a thread.

    Raises:
        StatusError: the JSON is wrong.
    """
    if not wire.is_json:
        return data
    return await _decode_off_loop(exchange, partial(wire.read, data), data)


async def _decode_off_loop(exchange: Exchange, decode: Callable[[], bytes], json: bytes) -> bytes:
    is_raw = exchange.endpoint.has_raw_request and exchange.request.rpc is None
    if is_raw or not is_long(json):
        return decode()
    await exchange.in_task()
    return await asyncio.get_running_loop().run_in_executor(exchange.edge.decoding, decode)
