"""Maps the exceptions of servicers to the status of their calls.

Rule: only this module maps errors to status codes. Any other exception is a bug: it is logged once, and the
caller gets INTERNAL without details.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from inspect import isasyncgenfunction
from typing import Any, NoReturn, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from grpc_core.callers import CallerNotAllowedError, Check
from grpc_core.finance.errors import (
    FinanceError,
    InvalidArgumentError,
    NotFoundError,
    OutOfRangeError,
    RatesUnavailableError,
)
from grpc_core.rate_feed import FeedClosedError

MAX_VIOLATIONS = 16
"""Maximum violations in an error; clients refuse trailers of more than 8 KiB."""

_REQUEST_ID = "x-request-id"
_REQUEST_ID_CHARACTERS = 128

ServicerContext: TypeAlias = grpc.aio.ServicerContext[Any, Any]
RpcMethod: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Parse: TypeAlias = Callable[[Any], Any]
CheckOf: TypeAlias = Callable[[str], Check | None]

_log = logging.getLogger(__name__)


def status_of(error: Exception) -> Status | None:
    """Returns the status of an error; None: the error is a bug."""
    match error:
        case InvalidArgumentError():
            return _bad_request(grpc.StatusCode.INVALID_ARGUMENT, error)
        case OutOfRangeError():
            return _bad_request(grpc.StatusCode.OUT_OF_RANGE, error)
        case NotFoundError():
            return _status(grpc.StatusCode.NOT_FOUND, str(error))
        case CallerNotAllowedError():
            return _status(grpc.StatusCode.PERMISSION_DENIED, str(error))
        case RatesUnavailableError():
            return _status(grpc.StatusCode.UNAVAILABLE, str(error))
        case FeedClosedError():
            return _status(grpc.StatusCode.UNAVAILABLE, "server is shutting down")
        case DecodeError():
            return _status(grpc.StatusCode.INTERNAL, "request message cannot be parsed")
    return None


class Guarded:
    """A server for generated `add_…_to_server` functions; it guards each registered method."""

    def __init__(
        self,
        server: grpc.aio.Server,
        check: CheckOf = lambda _: None,
        count: Callable[[RpcMethod, str, str], RpcMethod] | None = None,
    ) -> None:
        """Takes a server.

        Args:
            server: The server.
            check: Returns the check of a service's callers.
            count: Has the calls of a method of a service counted; None: nobody does.
        """
        self._server = server
        self._check = check
        self._count = count

    def add_generic_rpc_handlers(
        self, generic_rpc_handlers: Sequence[grpc.GenericRpcHandler]
    ) -> None:
        """Does nothing: generated code also calls `add_registered_method_handlers`."""

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, RpcMethod]
    ) -> None:
        """Adds the methods of a service."""
        methods = {
            name: guard(method, f"/{service_name}/{name}", self._check(service_name))
            for name, method in method_handlers.items()
        }
        if self._count is not None:
            methods = {name: self._count(m, service_name, name) for name, m in methods.items()}
        service = grpc.method_handlers_generic_handler(service_name, methods)
        self._server.add_generic_rpc_handlers((service,))
        self._server.add_registered_method_handlers(service_name, methods)


def guard(method: RpcMethod, name: str, check: Check | None = None) -> RpcMethod:
    """Wraps a method so that every exception becomes a status.

    A single request is parsed, and a single response serialized, inside the wrapper, because grpc would
    return the text of an exception in either. Streamed requests are parsed while the method reads them, so
    inside too.

    Args:
        method: An asynchronous method of any of the four types.
        name: Name for the log.
        check: Raises an error for callers that may not call the method, before a request is parsed.
    """
    parse = None if method.request_streaming else method.request_deserializer
    if method.response_streaming:
        return _streaming(method, parse or _as_is, name, check or _all)
    return _unary(method, parse or _as_is, name, check or _all)


def _unary(method: RpcMethod, parse: Parse, name: str, check: Check) -> RpcMethod:
    behaviour: Any = method.stream_unary if method.request_streaming else method.unary_unary
    serialize = method.response_serializer or _as_is

    async def guarded(request: Any, context: ServicerContext) -> Any:
        try:
            check(context)
            return serialize(await behaviour(parse(request), context))
        except Exception as error:
            await _answer(error, context, name)

    if method.request_streaming:
        return grpc.stream_unary_rpc_method_handler(guarded, method.request_deserializer)
    return grpc.unary_unary_rpc_method_handler(guarded)


def _streaming(method: RpcMethod, parse: Parse, name: str, check: Check) -> RpcMethod:
    behaviour: Any = method.stream_stream if method.request_streaming else method.unary_stream
    respond = _writing_all(behaviour) if isasyncgenfunction(behaviour) else behaviour

    async def guarded(request: Any, context: ServicerContext) -> None:
        try:
            check(context)
            await respond(parse(request), context)
        except Exception as error:
            await _answer(error, context, name)

    if method.request_streaming:
        return grpc.stream_stream_rpc_method_handler(
            guarded, method.request_deserializer, method.response_serializer
        )
    return grpc.unary_stream_rpc_method_handler(guarded, None, method.response_serializer)


def _writing_all(generate: Any) -> Callable[[Any, ServicerContext], Awaitable[None]]:
    """Turns a generator of responses into a coroutine that writes them.

    So a cancelled call closes its generator at once, not at garbage collection.
    """

    async def respond(request: Any, context: ServicerContext) -> None:
        async with aclosing(generate(request, context)) as responses:
            async for response in responses:
                await context.write(response)

    return respond


def _as_is(message: Any) -> Any:
    return message


def _all(_context: Any) -> None:
    """Is the check of a method that anyone may call."""


async def _answer(error: Exception, context: ServicerContext, name: str) -> NoReturn:
    """Ends the call with the status of an error; exceptions of grpc itself are raised again."""
    if isinstance(error, grpc.aio.AbortError | grpc.aio.InternalError):
        raise error
    status = status_of(error)
    if status is None:
        _log.error("request %s %s failed", _request_id(context), name, exc_info=error)
        status = _status(grpc.StatusCode.INTERNAL, "internal error")
    await context.abort_with_status(rpc_status.to_status(status))


def _request_id(context: ServicerContext) -> str:
    """Returns the caller's `x-request-id`; `-` if it sent none."""
    for key, value in context.invocation_metadata() or ():
        if key == _REQUEST_ID:
            return str(value)[:_REQUEST_ID_CHARACTERS]
    return "-"


def _bad_request(code: grpc.StatusCode, error: FinanceError) -> Status:
    listed = error.violations[:MAX_VIOLATIONS]
    message = "; ".join(violation.description for violation in listed)
    if unlisted := len(error.violations) - len(listed):
        message += f"; and {unlisted} more"
    details = BadRequest(
        field_violations=[
            BadRequest.FieldViolation(field=violation.field, description=violation.description)
            for violation in listed
        ]
    )
    return _status(code, message, details)


def _status(code: grpc.StatusCode, message: str, *details: Message) -> Status:
    status = Status(code=code.value[0], message=message)
    for detail in details:
        status.details.add().Pack(detail)
    return status
