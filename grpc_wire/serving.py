"""From the head of a request to the return of its servicer, and what each way to end it is to the client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from grpc_wire.codes import CANCELLED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, UNKNOWN
from grpc_wire.handlers import Method, Methods, Requests
from grpc_wire.server_call import ServerCall
from grpc_wire.server_context import Context
from grpc_wire.status import Status

_log = logging.getLogger(__name__)


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
    try:
        if call.start():
            method = methods.known(call.request.path) or await methods.find(call)
            if method is None:
                call.finish(Status(UNIMPLEMENTED, "Method not found!"))
            elif exceeded:
                call.finish(Status(RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!"))
            else:
                await _run(call, method, compression)
    except asyncio.CancelledError:
        call.finish(Status(CANCELLED, "the servicer was cancelled"))
    except Exception as error:
        _report(error, call)
        call.finish(Status(UNKNOWN, f"Unexpected {type(error)}: {error}"))
    finally:
        call.over()
        over(call)


async def _run(call: ServerCall, method: Method, compression: grpc.Compression | None) -> None:
    handler, parse, serialize, servicer = method
    context = Context(call, parse, serialize, compression)
    try:
        if handler.request_streaming:
            request: Any = Requests(context)
        else:
            message = call.received.only()
            request = parse(await call.receive_only() if message is None else message)
        response = await servicer(request, context)
        if handler.response_streaming:
            context.complete()
        else:
            context.answer(response)
    except grpc.aio.AbortError as error:
        if error is not context.aborted:
            _fail(error, call, context)
    except Exception as error:
        _fail(error, call, context)
    finally:
        context.over()


def _fail(error: Exception, call: ServerCall, context: Context) -> None:
    lost = call.ended and not context.done()
    if not lost:
        _report(error, call)
        context.fail(error)


def _report(error: Exception, call: ServerCall) -> None:
    _log.error(
        "Unexpected [%s] raised by servicer method [%s]",
        type(error).__name__,
        call.request.path,
        exc_info=error,
    )
