"""Requests that a caller gives as an iterator, on their way."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, Iterable
from typing import Any, TypeAlias

from grpc_wire.call.codes import INTERNAL
from grpc_wire.call.status import Status
from grpc_wire.client.stream import ClientStream

log = logging.getLogger(__name__)

Requests: TypeAlias = AsyncIterable[Any] | Iterable[Any]


async def send_all(stream: ClientStream, requests: Requests) -> None:
    """Sends what an iterator gives, then says that there are no more.

    What it raises cancels the call, as it does in `grpc.aio`; here it is logged beside.
    """
    try:
        if isinstance(requests, AsyncIterable):
            async for request in requests:
                if not await _send(stream, request):
                    return
        else:
            for request in requests:
                if not await _send(stream, request):
                    return
    except Exception:
        log.exception("the requests of %s broke off; it is cancelled", stream.method.path)
        stream.cancel("the iterator of requests has raised an exception")
    except BaseException:
        stream.cancel("the iterator of requests was cancelled")
        raise
    else:
        stream.half_close()


async def _send(stream: ClientStream, request: Any) -> bool:
    """Sends a request; returns whether to go on: an iterator without end must not outlive its call."""
    message = serialized(stream, request)
    if message is not None:
        if stream.waits:
            await stream.begun()
        if stream.send(message):
            await stream.room()
    return stream.status is None


def serialized(stream: ClientStream, request: Any) -> bytes | None:
    """Returns a request as bytes; if it cannot be, the call has ended, and it is None."""
    serialize = stream.method.serialize
    try:
        message = request if serialize is None else serialize(request)
        if not isinstance(message, bytes):
            raise TypeError(f"bytes are to be sent, not {type(message).__name__}")
    except Exception as error:
        log.exception("a request of %s cannot be written", stream.method.path)
        stream.fail(Status(INTERNAL, f"Exception serializing request: {error!r}"))
        return None
    return message
