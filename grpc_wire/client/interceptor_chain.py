"""The interceptors of one call, written for `grpc.aio`.

The outermost is called first. Each is given a continuation; the last one's starts the call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Sequence
from functools import partial
from typing import Any, TypeAlias

import grpc
from grpc import aio

StartCall: TypeAlias = Callable[[aio.ClientCallDetails, Any], aio.Call]
"""Starts a call with the details and the request, or requests, of the last interceptor."""


class Answer(aio.Call):
    """What an interceptor has returned in place of a call: a response, or an iterator of responses.

    Status and metadata of an iterator are those of the call that was started before; without one, and of a
    response, OK and none.
    """

    def __init__(self, answer: Any, call: aio.Call | None) -> None:
        self._answer = answer
        self._call = call

    def cancel(self) -> bool:
        """Cancels the call."""
        return self._call is not None and self._call.cancel()

    def cancelled(self) -> bool:
        """Returns whether the call was cancelled."""
        return self._call is not None and self._call.cancelled()

    def done(self) -> bool:
        """Returns whether the call has ended."""
        return self._call is None or self._call.done()

    def time_remaining(self) -> float | None:
        """Returns the seconds to the call's deadline."""
        return None if self._call is None else self._call.time_remaining()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Calls a function with this object when the call has ended; at once if it has."""
        if self._call is None:
            callback(self)
        else:
            self._call.add_done_callback(lambda _call: callback(self))

    async def initial_metadata(self) -> aio.Metadata:
        """Returns the call's initial metadata."""
        return aio.Metadata() if self._call is None else await self._call.initial_metadata()

    async def trailing_metadata(self) -> aio.Metadata:
        """Returns the call's trailing metadata."""
        return aio.Metadata() if self._call is None else await self._call.trailing_metadata()

    async def code(self) -> grpc.StatusCode:
        """Returns the call's status code."""
        return grpc.StatusCode.OK if self._call is None else await self._call.code()

    async def details(self) -> str:
        """Returns the call's status message."""
        return "" if self._call is None else await self._call.details()

    async def wait_for_connection(self) -> None:
        """Waits until the call has a connection."""
        if self._call is not None:
            await self._call.wait_for_connection()

    def __await__(self) -> Generator[Any, None, Any]:
        """Returns the response."""
        yield from ()
        return self._answer

    def __aiter__(self) -> AsyncIterator[Any]:
        """Returns the iterator of responses."""
        iterator: AsyncIterator[Any] = aiter(self._answer)
        return iterator


class Chain:
    """The interceptors of one call."""

    def __init__(
        self, interceptors: Sequence[Any], name: str, start: StartCall, *, one_response: bool
    ) -> None:
        self._interceptors = interceptors
        self._name = name
        self._start = start
        self._one_response = one_response
        self._started: aio.Call | None = None

    async def run(self, index: int, details: aio.ClientCallDetails, request: Any) -> aio.Call:
        """Runs the interceptors from one of them on; returns what the caller of the first gets."""
        if index == len(self._interceptors):
            self._started = self._start(details, request)
            return self._started
        intercept = getattr(self._interceptors[index], self._name)
        answer = await intercept(partial(self.run, index + 1), details, request)
        if isinstance(answer, aio.Call):
            return answer
        return Answer(answer, None if self._one_response else self._started)
