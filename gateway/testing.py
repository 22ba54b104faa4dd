"""An upstream that follows a script, for tests of the edge without gRPC: this project's, and yours.

    upstream = ScriptedUpstream({"/echo.v1.Echo/Unary": echo})
    app = create_app(settings, upstream)

A script is an async generator function: it is given the call, reads `call.requests`, and yields the
messages that the server answers. Raising a StatusError ends the call with that status, and with the
metadata of the call unless the error has its own.
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
    """One call: what the edge sent, and how it ended."""

    method: Method
    requests: AsyncIterator[bytes]
    metadata: Metadata
    timeout: float | None
    initial: Metadata = ()
    """What the script says as initial metadata; to be set before its first message."""
    trailing: Metadata = ()
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the edge has left the call, for whatever reason."""
    finished: bool = False
    """Whether the edge has read the script to its end. It reads a method that answers once no further
    than to its answer; for a stream, False after `ended` means that the edge cancelled it."""


class ScriptedUpstream:
    """Answers each method by its script, and keeps the calls for the test to look at."""

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        """Takes the scripts by the gRPC path of their methods."""
        self.scripts = dict(scripts)
        self.calls: list[ScriptedCall] = []

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
    ) -> _Block:
        """Opens a call; see `gateway.upstream.port.Upstream`."""
        stream = _One(requests) if isinstance(requests, bytes) else requests
        call = ScriptedCall(method, stream, metadata, timeout)
        self.calls.append(call)
        return _Block(call, self.scripts.get(method.path, _unimplemented))

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


class _Block:
    def __init__(self, call: ScriptedCall, script: Script) -> None:
        self._call = call
        self._answers = script(call)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        close = getattr(self._answers, "aclose", None)
        if close is not None:
            await close()
        self._call.ended.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._answers)
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


class _One:
    """One request, as an iterator: a generator that is not read to its end leaves the loop a task."""

    def __init__(self, request: bytes) -> None:
        self._requests = iter((request,))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        for request in self._requests:
            return request
        raise StopAsyncIteration


async def _unimplemented(call: ScriptedCall) -> AsyncIterator[bytes]:
    answers: tuple[bytes, ...] = ()
    for answer in answers:
        yield answer
    raise StatusError.of(UNIMPLEMENTED, f"no script for {call.method.path}")
