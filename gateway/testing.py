"""An upstream that runs scripts: tests of an edge without a gRPC server.

    upstream = ScriptedUpstream({"/echo.v1.Echo/Unary": echo})
    app = create_app(settings, upstream)

A script is an async generator function. It gets the call, reads `call.requests`, and yields the serialized
response messages. Raising StatusError ends the call with that status; the metadata are those of the error, or
those of the call if the error has none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

from gateway.contract.method import Method
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import UNIMPLEMENTED, StatusError
from gateway.upstream.asking import ask_in_task
from gateway.upstream.port import Outcome, Requests

Script = Callable[["ScriptedCall"], AsyncIterator[bytes]]


@dataclass(eq=False)
class ScriptedCall:
    """One call: what the edge sent, what the script returns, and how the call ended."""

    method: Method
    requests: AsyncIterator[bytes]
    """The serialized request messages."""
    metadata: Metadata
    """The request metadata."""
    timeout: float | None
    """Seconds; None: no timeout."""
    initial: Metadata = ()
    """Initial metadata; the script sets them before its first message."""
    trailing: Metadata = ()
    """Trailing metadata; the script sets them before it ends."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the edge has left the call, for any reason."""
    finished: bool = False
    """Whether the edge has read the script to its end. False after `ended`: the edge cancelled a stream, or
    the method has a single response, after which the edge does not read on."""


class ScriptedUpstream:
    """Runs the script of each method, and records the calls. A method without a script is UNIMPLEMENTED."""

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        """Makes an upstream from scripts by gRPC path: `/package.Service/Method`."""
        self.scripts = dict(scripts)
        self.calls: list[ScriptedCall] = []
        """All calls, in the order in which they were opened."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def open(
        self,
        method: Method,
        requests: Requests,
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> _OpenCall:
        """Opens a call; see `gateway.upstream.port.Upstream`."""
        stream = _SingleRequest(requests) if isinstance(requests, bytes) else requests
        call = ScriptedCall(method, stream, metadata, timeout)
        self.calls.append(call)
        return _OpenCall(call, self.scripts.get(method.path, _unimplemented))

    def ask(
        self,
        method: Method,
        request: bytes,
        told: Callable[[Outcome], None],
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> Callable[[], object]:
        """Opens a call in a task; see `gateway.upstream.port.Upstream`."""
        return ask_in_task(self, method, request, told, metadata=metadata, timeout=timeout)


class _OpenCall:
    """The context manager of a call, and the iterator of its responses."""

    def __init__(self, call: ScriptedCall, script: Script) -> None:
        self._call = call
        self._responses = script(call)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        close = getattr(self._responses, "aclose", None)
        if close is not None:
            await close()
        self._call.ended.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._responses)
        except StopAsyncIteration:
            self._call.finished = True
            raise
        except StatusError as error:
            call = self._call
            error.initial = error.initial or call.initial
            error.trailing = error.trailing or call.trailing
            raise

    async def initial_metadata(self) -> Metadata:
        return self._call.initial

    async def trailing_metadata(self) -> Metadata:
        return self._call.trailing


class _SingleRequest:
    """An iterator over one request. An unfinished async generator would leave a task to the event loop."""

    def __init__(self, request: bytes) -> None:
        self._requests = iter((request,))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        for request in self._requests:
            return request
        raise StopAsyncIteration


async def _unimplemented(call: ScriptedCall) -> AsyncIterator[bytes]:
    responses: tuple[bytes, ...] = ()
    for response in responses:
        yield response
    raise StatusError.of(UNIMPLEMENTED, f"no script for {call.method.path}")
