"""Handling of one call: from its headers to its status, and the status for each way to fail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import grpc

from grpc_wire.call.status import CANCELLED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, UNKNOWN, Status
from grpc_wire.server.call import ServerCall
from grpc_wire.server.context import ServerContext
from grpc_wire.server.methods import Methods, RequestIterator

_log = logging.getLogger(__name__)

_NOT_FOUND: Final = Status(UNIMPLEMENTED, "Method not found!")
_EXCEEDED: Final = Status(RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!")


async def serve(
    call: ServerCall,
    methods: Methods,
    compression: grpc.Compression | None,
    on_done: Callable[[ServerCall], None],
    *,
    exceeded: bool,
) -> None:
    """Handles one call to its end.

    Args:
        call: to handle.
        methods: to look up its method in.
        compression: default of its responses.
        on_done: called when nothing of it is left.
        exceeded: whether to refuse it, because there are too many.
    """
    context = None
    try:
        if not call.start():
            return
        method = methods.known.get(call.request.path) or await methods.find(call)
        if method is None or exceeded:
            call.finish(_NOT_FOUND if method is None else _EXCEEDED)
            return
        handler, parse, serialize, servicer = method
        context = ServerContext(call, parse, serialize, compression)
        if handler.request_streaming:
            request: Any = RequestIterator(context, call.received, call.transport.turn)
        else:
            message = call.received.take_single()
            request = parse(await call.receive_single() if message is None else message)
        response = await servicer(request, context)
        if handler.response_streaming:
            context.complete()
        else:
            context.respond(response)
    except asyncio.CancelledError:
        call.finish(Status(CANCELLED, "the servicer was cancelled"))
    except Exception as error:
        _fail(error, call, context)
    finally:
        if context is not None:
            context.run_done_callbacks()
        call.handler_returned()
        on_done(call)


def _fail(error: Exception, call: ServerCall, context: ServerContext | None) -> None:
    """Ends a call with an error that its servicer, or the lookup, raised."""
    if context is not None:
        lost = call.ended and not context.done()
        if lost or error is context.aborted:
            return
    _report(error, call)
    if context is None:
        call.finish(Status(UNKNOWN, f"Unexpected {type(error)}: {error}"))
        return
    try:
        context.fail(error)
    except Exception as worse:  # the error's own `str` may raise
        _fail(worse, call, None)


def _report(error: Exception, call: ServerCall) -> None:
    _log.error(
        "Unexpected [%s] raised by servicer method [%s]",
        type(error).__name__,
        call.request.path,
        exc_info=error,
    )
