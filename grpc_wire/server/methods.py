"""The methods of a server: which there are, and how a call of each of the four types is handled.

Rule: what can be known of a method when it is registered is decided then, not when it is called.
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
from grpc_wire.call.request_messages import Received
from grpc_wire.grpc_api import Metadatum, metadata_of
from grpc_wire.server.call import ServerCall
from grpc_wire.server.context import Context
from grpc_wire.server.threads import each_in_thread, in_thread
from grpc_wire.transport.turn import Turn

_MOST_KEPT: Final = 4096
"""Methods: a generic handler may have one for whatever path a client names."""

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Find: TypeAlias = "Callable[[Any], Awaitable[Handler | None]]"
Behaviour: TypeAlias = Callable[[Any, Context], Any]
Run: TypeAlias = Callable[[Any, Context], Awaitable[Any]]


class Method(NamedTuple):
    """A method, ready to be called."""

    handler: Handler
    parse: Callable[[bytes], Any]
    serialize: Callable[[Any], bytes]
    run: Run


class CallDetails:
    """What an interceptor, or a generic handler, is told of a call."""

    __slots__ = ("_call", "method")

    def __init__(self, call: ServerCall) -> None:
        self.method = call.request.path
        self._call = call

    @property
    def invocation_metadata(self) -> tuple[Metadatum, ...]:
        """What the client has sent along with the request."""
        return metadata_of(self._call.headers)


class Methods:
    """All methods of a server, behind its interceptors.

    Attributes:
        known: methods by their path that need no looking for.
    """

    def __init__(self, interceptors: Sequence[Any], pool: Executor | None) -> None:
        self._pool = pool
        self._registered: dict[str, Handler] = {}
        self._generic: list[Any] = []
        self._compiled: dict[str, Method] = {}
        self.known: dict[str, Method] = {}
        self._intercepted = bool(interceptors)
        self._find: Find = self._look
        for interceptor in reversed(interceptors):
            self._find = partial(interceptor.intercept_service, self._find)

    def add_generic(self, handlers: Iterable[Any]) -> None:
        """Adds handlers that look for methods by themselves."""
        self._generic.extend(handlers)

    def add_registered(self, methods: dict[str, Handler]) -> None:
        """Adds methods by their path, before all generic ones."""
        self._registered.update(methods)
        if not self._intercepted:
            for path, handler in methods.items():
                self.known[path] = compile_method(handler, self._pool)

    async def find(self, call: ServerCall) -> Method | None:
        """Returns a method that is not known; None if there is none."""
        path = call.request.path
        handler = await self._find(CallDetails(call))
        return None if handler is None else self._compile(path, handler)

    async def _look(self, details: Any) -> Handler | None:
        registered = self._registered.get(details.method)
        if registered is not None:
            return registered
        for generic in self._generic:
            found: Handler | None = generic.service(details)
            if found is not None:
                return found
        return None

    def _compile(self, path: str, handler: Handler) -> Method:
        """Returns a method that was compiled before, unless an interceptor has made another since."""
        method = self._compiled.get(path)
        if method is None or method.handler is not handler:
            method = compile_method(handler, self._pool)
            if path in self._compiled or len(self._compiled) < _MOST_KEPT:
                self._compiled[path] = method
        return method


def compile_method(handler: Handler, pool: Executor | None) -> Method:
    """Prepares a method of any of the four types; plain functions are run in a pool of threads."""
    behaviour: Any = (
        handler.stream_stream or handler.unary_stream
        if handler.response_streaming
        else handler.stream_unary or handler.unary_unary
    )
    run: Run = behaviour  # which returns the one response, or writes them all by itself
    if isasyncgenfunction(behaviour):
        run = partial(_write_all, behaviour)
    elif not iscoroutinefunction(behaviour):
        run = (
            partial(_write_all, each_in_thread(behaviour, pool))
            if handler.response_streaming
            else in_thread(behaviour, pool)
        )
    return Method(
        handler, handler.request_deserializer or _as_is, handler.response_serializer or _as_is, run
    )


class Requests:
    """The requests of a call, in turn."""

    def __init__(self, context: Context, received: Received, turn: Turn) -> None:
        self._context = context
        self._received = received
        self._turn = turn

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        context = self._context
        turn = self._turn
        if turn.left > 0 and not context.closed:
            message = next(self._received.cut, None)
            if message is not None:
                turn.left -= MESSAGE_COST + len(message)
                return context.parse(message)
        request = await context.read()
        if request is grpc.aio.EOF:
            raise StopAsyncIteration
        return request


async def _write_all(behaviour: Behaviour, request: Any, context: Context) -> None:
    """Writes the responses that are yielded; a generator is closed when its call ends."""
    async with aclosing(behaviour(request, context)) as responses:
        async for response in responses:
            await context.write(response)


def _as_is(message: Any) -> Any:
    return message
