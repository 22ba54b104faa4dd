"""From the head of a request to the return of its servicer, and what each way to end it is to the client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import grpc

from grpc_wire.call.status import CANCELLED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, UNKNOWN, Status
from grpc_wire.server.call import ServerCall
from grpc_wire.server.context import Context
from grpc_wire.server.methods import Methods, Requests

_log = logging.getLogger(__name__)

_NOT_FOUND: Final = Status(UNIMPLEMENTED, "Method not found!")
_EXCEEDED: Final = Status(RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!")


async def serve(
    call: ServerCall,
    methods: Methods,
    compression: grpc.Compression | None,
    over: Callable[[ServerCall], None],
    *,
    exceeded: bool,
) -> None:
    """Handles one call, whatever becomes of it.

    Args:
        call: the call.
        methods: where its method is found.
        compression: how its responses are compressed, if nothing else is set.
        over: what is told when nothing of it is left.
        exceeded: whether there are too many calls, so that it is refused.
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
        context = Context(call, parse, serialize, compression)
        if handler.request_streaming:
            request: Any = Requests(context, call.received, call.transport.turn)
        else:
            message = call.received.only()
            request = parse(await call.receive_only() if message is None else message)
        response = await servicer(request, context)
        if handler.response_streaming:
            context.complete()
        else:
            context.answer(response)
    except asyncio.CancelledError:
        call.finish(Status(CANCELLED, "the servicer was cancelled"))
    except Exception as error:
        _fail(error, call, context)
    finally:
        if context is not None:
            context.over()
        call.over()
        over(call)


def _fail(error: Exception, call: ServerCall, context: Context | None) -> None:
    """Ends a call for what its servicer, or who looked for it, has raised."""
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
    except Exception as worse:  # the error cannot even say what it is
        _fail(worse, call, None)


def _report(error: Exception, call: ServerCall) -> None:
    _log.error(
        "Unexpected [%s] raised by servicer method [%s]",
        type(error).__name__,
        call.request.path,
        exc_info=error,
    )
