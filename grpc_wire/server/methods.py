"""Methods of a server: registration, lookup behind interceptors, and how each of the four types is run.

Rule: what is known of a method when it is registered is computed then, not per call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Executor
from contextlib import aclosing
from functools import partial
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any, Final, NamedTuple, TypeAlias

import grpc
import grpc.aio

from grpc_wire.call.message import MESSAGE_COST
from grpc_wire.call.request_messages import RequestMessages
from grpc_wire.grpc_api import Metadatum, metadata_of
from grpc_wire.server.call import ServerCall
from grpc_wire.server.context import ServerContext
from grpc_wire.server.threads import each_in_thread, in_thread
from grpc_wire.transport.turn import Turn

_MAX_CACHED: Final = 4096
"""Maximum methods in the cache: a generic handler may return one for any path."""

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Find: TypeAlias = "Callable[[Any], Awaitable[Handler | None]]"
Behaviour: TypeAlias = Callable[[Any, ServerContext], Any]
Run: TypeAlias = Callable[[Any, ServerContext], Awaitable[Any]]


class ServerMethod(NamedTuple):
    """A method, ready to be called."""

    handler: Handler
    parse: Callable[[bytes], Any]
    serialize: Callable[[Any], bytes]
    run: Run


class CallDetails:
    """What interceptors and generic handlers get of a call."""

    __slots__ = ("_call", "method")

    def __init__(self, call: ServerCall) -> None:
        self.method = call.request.path
        self._call = call

    @property
    def invocation_metadata(self) -> tuple[Metadatum, ...]:
        """Metadata of the request."""
        return metadata_of(self._call.headers)


class Methods:
    """All methods of a server, behind its interceptors.

    Attributes:
        known: by path, methods that need no lookup.
    """

    def __init__(self, interceptors: Sequence[Any], pool: Executor | None) -> None:
        self._pool = pool
        self._registered: dict[str, Handler] = {}
        self._generic: list[Any] = []
        self._compiled: dict[str, ServerMethod] = {}
        self.known: dict[str, ServerMethod] = {}
        self._intercepted = bool(interceptors)
        self._find: Find = self._look_up
        for interceptor in reversed(interceptors):
            self._find = partial(interceptor.intercept_service, self._find)

    def add_generic(self, handlers: Iterable[Any]) -> None:
        """Adds handlers that look up methods themselves."""
        self._generic.extend(handlers)

    def add_registered(self, methods: dict[str, Handler]) -> None:
        """Adds methods by path; they come before generic handlers."""
        self._registered.update(methods)
        if not self._intercepted:
            for path, handler in methods.items():
                self.known[path] = compile_method(handler, self._pool)

    async def find(self, call: ServerCall) -> ServerMethod | None:
        """Looks up a method that is not in `known`; None if there is none."""
        path = call.request.path
        handler = await self._find(CallDetails(call))
        return None if handler is None else self._compile(path, handler)

    async def _look_up(self, details: Any) -> Handler | None:
        registered = self._registered.get(details.method)
        if registered is not None:
            return registered
        for generic in self._generic:
            handler: Handler | None = generic.service(details)
            if handler is not None:
                return handler
        return None

    def _compile(self, path: str, handler: Handler) -> ServerMethod:
        """Returns the cached method of a handler; compiles it if an interceptor has made a new one."""
        method = self._compiled.get(path)
        if method is None or method.handler is not handler:
            method = compile_method(handler, self._pool)
            if path in self._compiled or len(self._compiled) < _MAX_CACHED:
                self._compiled[path] = method
        return method


def compile_method(handler: Handler, pool: Executor | None) -> ServerMethod:
    """Compiles a method of any of the four types; plain functions run in a pool of threads."""
    behaviour: Any = (
        handler.stream_stream or handler.unary_stream
        if handler.response_streaming
        else handler.stream_unary or handler.unary_unary
    )
    run: Run = behaviour  # returns its one response, or writes all itself
    if isasyncgenfunction(behaviour):
        run = partial(_write_all, behaviour)
    elif not iscoroutinefunction(behaviour):
        run = (
            partial(_write_all, each_in_thread(behaviour, pool))
            if handler.response_streaming
            else in_thread(behaviour, pool)
        )
    return ServerMethod(
        handler, handler.request_deserializer or _as_is, handler.response_serializer or _as_is, run
    )


class RequestIterator:
    """The requests of a call, as an asynchronous iterator."""

    def __init__(self, context: ServerContext, received: RequestMessages, turn: Turn) -> None:
        self._context = context
        self._received = received
        self._turn = turn

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        context = self._context
        turn = self._turn
        if turn.bytes_left > 0 and not context.closed:
            message = next(self._received.parsed, None)
            if message is not None:
                turn.bytes_left -= MESSAGE_COST + len(message)
                return context.parse(message)
        request = await context.read()
        if request is grpc.aio.EOF:
            raise StopAsyncIteration
        return request


async def _write_all(behaviour: Behaviour, request: Any, context: ServerContext) -> None:
    """Writes the responses of a generator; closes it when the call ends."""
    async with aclosing(behaviour(request, context)) as responses:
        async for response in responses:
            await context.write(response)


def _as_is(message: Any) -> Any:
    return message
