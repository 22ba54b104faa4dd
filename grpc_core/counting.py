"""Counts the calls of a method: their start, their messages, and the status with which they end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final, Self

import grpc
import grpc.aio

from grpc_core.guard import RpcMethod
from grpc_core.metrics import MethodCounts

_OK: Final = 0
_CANCELLED: Final = 1
_UNKNOWN: Final = 2


def counted(method: RpcMethod, counts: MethodCounts) -> RpcMethod:
    """Wraps a guarded method, so that its calls are counted.

    A call that is cancelled, by its client or by its deadline, counts as CANCELLED.
    """
    client, server = method.request_streaming, method.response_streaming
    behaviour: Any = (
        (method.stream_stream if client else method.unary_stream)
        if server
        else (method.stream_unary if client else method.unary_unary)
    )

    async def call(request: Any, context: Any) -> Any:
        since, code = counts.start(), _CANCELLED
        if client:
            request = _CountedRequests(request, counts)
        else:
            counts.received += 1
        try:
            if server:
                response = await behaviour(request, _CountedContext(context, counts))
            else:
                response = await behaviour(request, context)
                counts.sent += 1
            code = _code_of(context, _OK)
        except Exception:
            code = _code_of(context, _UNKNOWN)
            raise
        finally:
            counts.end(code, since)
        return response

    make: Any = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[client, server]
    made: RpcMethod = make(call, method.request_deserializer, method.response_serializer)
    return made


class _CountedRequests:
    """The messages of a client, counted as they are read."""

    __slots__ = ("_counts", "_requests")

    def __init__(self, requests: AsyncIterator[Any], counts: MethodCounts) -> None:
        self._requests = requests
        self._counts = counts

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        message = await self._requests.__anext__()
        self._counts.received += 1
        return message


class _CountedContext:
    """The context of a call that streams its responses, which are counted."""

    __slots__ = ("_context", "_counts")

    def __init__(self, context: Any, counts: MethodCounts) -> None:
        self._context = context
        self._counts = counts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, message: Any) -> None:
        """Sends a message."""
        await self._context.write(message)
        self._counts.sent += 1


def _code_of(context: Any, default: int) -> int:
    """Returns the number of the status code that the call was given; the default if it has none."""
    code = context.code()
    if isinstance(code, grpc.StatusCode):
        code = code.value[0]
    return code if isinstance(code, int) and _OK < code < len(grpc.StatusCode) else default
