"""Counts the calls of a method, tells the access log of their ends, and gives them spans."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final, Self

import grpc
import grpc.aio

from grpc_core.access_log import AccessLog
from grpc_core.guard import RpcMethod
from grpc_core.metrics import MethodCounts

if TYPE_CHECKING:
    from grpc_core.spans import MethodSpans

_OK: Final = 0
_CANCELLED: Final = 1
_UNKNOWN: Final = 2


class _Tally:
    """Messages of one call."""

    __slots__ = ("received", "sent")

    def __init__(self) -> None:
        self.received = self.sent = 0


def counted(
    method: RpcMethod,
    counts: MethodCounts,
    log: AccessLog | None = None,
    spans: MethodSpans | None = None,
) -> RpcMethod:
    """Wraps a guarded method, so that its calls are counted, logged if there is a log, and have spans.

    A call that is cancelled, by its client or by its deadline, counts as CANCELLED.
    """
    _, service, name = counts.labels
    rpc = f"{service}/{name}"
    client, server = method.request_streaming, method.response_streaming
    behaviour: Any = (
        (method.stream_stream if client else method.unary_stream)
        if server
        else (method.stream_unary if client else method.unary_unary)
    )

    async def call(request: Any, context: Any) -> Any:
        since, code, tally = counts.start(), _CANCELLED, _Tally()
        span = None if spans is None else spans.start(context)
        if client:
            request = _CountedRequests(request, counts, tally)
        else:
            counts.received += 1
            tally.received = 1
        try:
            if server:
                response = await behaviour(request, _CountedContext(context, counts, tally))
            else:
                response = await behaviour(request, context)
                counts.sent += 1
                tally.sent = 1
            code = _code_of(context, _OK)
        except Exception:
            code = _code_of(context, _UNKNOWN)
            raise
        finally:
            counts.end(code, since)
            if log is not None:
                log.ended(rpc, context, code, since, (tally.received, tally.sent))
            if span is not None and spans is not None:
                spans.end(span, code, tally.received, tally.sent)
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

    __slots__ = ("_counts", "_requests", "_tally")

    def __init__(self, requests: AsyncIterator[Any], counts: MethodCounts, tally: _Tally) -> None:
        self._requests = requests
        self._counts = counts
        self._tally = tally

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        message = await self._requests.__anext__()
        self._counts.received += 1
        self._tally.received += 1
        return message


class _CountedContext:
    """The context of a call that streams its responses, which are counted."""

    __slots__ = ("_context", "_counts", "_tally")

    def __init__(self, context: Any, counts: MethodCounts, tally: _Tally) -> None:
        self._context = context
        self._counts = counts
        self._tally = tally

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, message: Any) -> None:
        """Sends a message, and counts it first: its client may cancel before `write` of grpcio returns."""
        self._counts.sent += 1
        self._tally.sent += 1
        await self._context.write(message)


def _code_of(context: Any, default: int) -> int:
    """Returns the number of the status code that the call was given; the default if it has none."""
    code = context.code()
    if isinstance(code, grpc.StatusCode):
        code = code.value[0]
    return code if isinstance(code, int) and _OK < code < len(grpc.StatusCode) else default
