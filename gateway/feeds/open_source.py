"""The blocks in which a source is read.

They are classes, because a generator takes 800 bytes of each stream that is open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from gateway.feeds.source import CallSource
from gateway.feeds.subscription import Subscription
from gateway.transcoding.status import DEADLINE_EXCEEDED, StatusError
from gateway.upstream.port import Call


class OpenCall(AbstractAsyncContextManager[CallSource]):
    """The block of a call with one reader."""

    __slots__ = ("_make", "_opened")

    def __init__(
        self, opened: AbstractAsyncContextManager[Call], make: Callable[[Call], CallSource]
    ) -> None:
        """Takes the block of the call, and what makes a source of the call."""
        self._opened = opened
        self._make: Callable[[Call], CallSource] | None = make

    async def __aenter__(self) -> CallSource:
        make, self._make = self._make, None
        assert make is not None  # noqa: S101 - a block is entered once
        return make(await self._opened.__aenter__())

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._opened.__aexit__(error_type, error, traceback)


class OpenSubscription(AbstractAsyncContextManager[Subscription]):
    """The block of a reader of a feed."""

    __slots__ = ("_deadline", "_reader", "_subscribe", "_unsubscribe")

    def __init__(
        self,
        subscribe: Callable[[], Subscription | Awaitable[Subscription]],
        unsubscribe: Callable[[Subscription], None],
        timeout: float | None,
    ) -> None:
        """Takes what begins and what ends the reading, and the seconds that it may take; None: no end."""
        self._subscribe: Callable[[], Subscription | Awaitable[Subscription]] | None = subscribe
        self._unsubscribe = unsubscribe
        self._deadline = None if timeout is None else asyncio.timeout(timeout)
        self._reader: Subscription

    async def __aenter__(self) -> Subscription:
        subscribe, self._subscribe = self._subscribe, None
        assert subscribe is not None  # noqa: S101 - a block is entered once
        reader = subscribe()
        self._reader = reader if isinstance(reader, Subscription) else await reader
        if self._deadline is not None:
            await self._deadline.__aenter__()
        return self._reader

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self._deadline is not None:
                await self._deadline.__aexit__(error_type, error, traceback)
        except TimeoutError:
            late = "the deadline of the stream has passed"
            raise StatusError.of(DEADLINE_EXCEEDED, late) from None
        finally:
            self._unsubscribe(self._reader)
