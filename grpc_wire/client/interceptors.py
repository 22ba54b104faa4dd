"""Intercepted calls: `grpc.aio`'s, except that the last interceptor starts a call of this package.

So `grpc.aio` decides what interceptors get and may return. The names are private to `grpc.aio`; a test for
each of the four kinds checks that they still exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grpc.aio import _interceptor as theirs


class _OnWire:
    """The end of the chain; what `grpc.aio` calls the channel is the function that starts the call."""

    _channel: Any

    async def _run_interceptor(
        self,
        interceptors: Sequence[Any],
        method: bytes,
        serializer: Any,
        deserializer: Any,
        details: Any,
        request: Any,
    ) -> Any:
        if interceptors:
            chain: Any = super()
            return await chain._run_interceptor(  # noqa: SLF001 - what this class is for
                interceptors, method, serializer, deserializer, details, request
            )
        self._last_returned_call_from_interceptors = self._channel(details, request)
        return self._last_returned_call_from_interceptors


def _on_wire(call: Any) -> Any:
    return type(call.__name__, (_OnWire, call), {})


UnaryUnaryCall = _on_wire(theirs.InterceptedUnaryUnaryCall)
UnaryStreamCall = _on_wire(theirs.InterceptedUnaryStreamCall)
StreamUnaryCall = _on_wire(theirs.InterceptedStreamUnaryCall)
StreamStreamCall = _on_wire(theirs.InterceptedStreamStreamCall)
