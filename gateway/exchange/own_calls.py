"""Calls that the edge answers itself, in the shape of those that go upstream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self, TypeAlias

from gateway.transcoding.metadata import Metadata
from gateway.upstream.port import RequestMessages

OwnCall: TypeAlias = Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]]
"""Messages of a request -> those of the response. Iteration may raise StatusError."""


class AnsweredCall:
    """One call, as `gateway.upstream.port.Call`, within its block."""

    def __init__(self, answer: OwnCall, requests: RequestMessages) -> None:
        """Takes what answers, and the messages of the request."""
        stream = _one(requests) if isinstance(requests, bytes) else requests
        self._messages = answer(stream)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if (close := getattr(self._messages, "aclose", None)) is not None:
            await close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._messages)

    async def initial_metadata(self) -> Metadata:
        """There are none."""
        return ()

    async def trailing_metadata(self) -> Metadata:
        """There are none."""
        return ()


async def _one(message: bytes) -> AsyncIterator[bytes]:
    yield message
