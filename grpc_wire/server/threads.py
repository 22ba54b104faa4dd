"""Servicers that are plain functions: they run in threads, with a context that waits for the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from typing import Any, Final, NoReturn

from grpc_wire.server.context import ServerContext

_END: Final = object()


class ThreadContext:
    """A call as a servicer in a thread sees it; what `grpc.aio` gives to plain functions."""

    def __init__(self, context: ServerContext, loop: asyncio.AbstractEventLoop) -> None:
        self._context = context
        self._loop = loop
        self.callbacks: list[Callable[[], None]] = []
        for name in (
            "set_trailing_metadata",
            "invocation_metadata",
            "set_code",
            "set_details",
            "set_compression",
            "disable_next_message_compression",
            "peer",
            "peer_identities",
            "peer_identity_key",
            "auth_context",
        ):
            setattr(self, name, getattr(context, name))

    def abort(self, code: Any, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        """Ends the call with a status that is not OK; raises `grpc.aio.AbortError`."""
        self._wait(self._context.abort(code, details, trailing_metadata))
        raise AssertionError("abort always raises")

    def send_initial_metadata(self, initial_metadata: Any) -> None:
        """Sends the initial metadata."""
        self._wait(self._context.send_initial_metadata(initial_metadata))

    def time_remaining(self) -> float | None:
        """Returns the seconds until the deadline; None if there is none."""
        remaining: float | None = self._wait(_called(self._context.time_remaining))
        return remaining

    def add_callback(self, callback: Callable[[], None]) -> None:
        """Calls a function when the servicer has returned."""
        self.callbacks.append(callback)

    def _wait(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


async def _called(function: Callable[[], Any]) -> Any:
    return function()


def in_thread(behaviour: Callable[..., Any], pool: Executor | None) -> Callable[..., Any]:
    """Returns a coroutine function that runs a plain function with one response in a thread."""

    async def respond(request: Any, context: ServerContext) -> Any:
        loop = asyncio.get_running_loop()
        thread_context = ThreadContext(context, loop)
        response = await loop.run_in_executor(
            pool, _called_in_thread, behaviour, _as_plain(request, loop), thread_context
        )
        for callback in thread_context.callbacks:
            callback()
        return response

    return respond


def each_in_thread(behaviour: Callable[..., Any], pool: Executor | None) -> Callable[..., Any]:
    """Returns an asynchronous generator that runs each step of a plain generator in a thread."""

    async def respond(request: Any, context: ServerContext) -> AsyncIterator[Any]:
        loop = asyncio.get_running_loop()
        thread_context = ThreadContext(context, loop)
        responses = await loop.run_in_executor(
            pool, _called_in_thread, behaviour, _as_plain(request, loop), thread_context
        )
        responses = iter(responses)
        while (response := await loop.run_in_executor(pool, next, responses, _END)) is not _END:
            yield response
        for callback in thread_context.callbacks:
            callback()

    return respond


def _called_in_thread(behaviour: Callable[..., Any], request: Any, context: ThreadContext) -> Any:
    try:
        return behaviour(request, context)
    except StopIteration as error:  # a future cannot carry it: its waiter would never wake
        raise RuntimeError("the servicer has raised StopIteration") from error


def _as_plain(request: Any, loop: asyncio.AbstractEventLoop) -> Any:
    return _blocking(request, loop) if isinstance(request, AsyncIterator) else request


def _blocking(requests: AsyncIterator[Any], loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
    async def following() -> Any:
        return await anext(requests, _END)

    while True:
        request = asyncio.run_coroutine_threadsafe(following(), loop).result()
        if request is _END:
            return
        yield request
