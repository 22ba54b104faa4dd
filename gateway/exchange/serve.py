"""The order in which a request is answered, on every door and for every wire.

    read the head -> match -> admit -> read the body -> call -> answer -> observe

A door reads the head and looks the route up (`Request`); everything behind that stands here, or is called
from here.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import Final

from gateway.contract.route_table import NoRoute, RouteMatch
from gateway.exchange.attendance import Interruption
from gateway.exchange.end import count_messages, end_exchange, log_name, tell_of_start
from gateway.exchange.exchange import Exchange
from gateway.exchange.observation import Observation
from gateway.exchange.observer import EndedBy
from gateway.exchange.policy import Answer
from gateway.exchange.ports import ClientGone, until_sent
from gateway.exchange.response import HttpResponse, failure, options
from gateway.exchange.routing import Options
from gateway.exchange.rpc import rpc_failure, serve_rpc
from gateway.exchange.streams import refuse_reader, serve_client_stream, serve_server_stream
from gateway.exchange.unary import serve_unary
from gateway.exchange.unary_rpc import serve_unary_rpc, whole_call
from gateway.exchange.websocket import serve_websocket
from gateway.transcoding.metadata_size import check_metadata
from gateway.transcoding.status import (
    INTERNAL,
    NOT_FOUND,
    UNAVAILABLE,
    StatusError,
    code_name,
)

log = logging.getLogger(__name__)

_clock: Final = monotonic
"""Compiled code finds it without a look into the module."""


async def serve(exchange: Exchange) -> None:
    """Answers one request; every error is answered too, as its wire answers errors.

    It raises asyncio.CancelledError if its task was cancelled.
    """
    edge, request = exchange.edge, exchange.request
    route = request.route
    observation = edge.observation
    since = 0.0 if observation is None else _begin(exchange, observation)
    ended: BaseException | None = None
    try:
        try:
            if request.served.policies and (waiting := exchange.admit()) is not None:
                await waiting
            if exchange.pass_on is not None:
                count_messages(exchange, observation, since)
                await exchange.pass_on()
            elif request.error is not None:
                raise request.error
            elif isinstance(route, RouteMatch):
                check_metadata(exchange.metadata, edge.limits.max_metadata)
                wire, streams = request.rpc, route.target.method.streams
                if exchange.websocket is None and wire is None and not streams:
                    await serve_unary(exchange)
                elif wire is not None and (body := whole_call(exchange)) is not None:
                    await serve_unary_rpc(exchange, wire, body)
                else:
                    await _serve_other(exchange, observation, since)
            else:
                await _serve_no_method(exchange)
        except (Exception, asyncio.CancelledError) as caught:
            ended = caught
        if ended is not None:
            await _end_early(exchange, ended)
    finally:
        ended = None  # its traceback has this frame
        if observation is not None or exchange.info is not None:
            end_exchange(exchange, observation, since)


def _begin(exchange: Exchange, observation: Observation) -> float:
    """Tells observers of the start; returns the time of it."""
    since = _clock()
    if observation.needs_info:
        tell_of_start(exchange, observation)
    return since


async def _serve_other(exchange: Exchange, observation: Observation | None, since: float) -> None:
    """Answers an RPC on its own wire, or what needs a task: a stream."""
    wire = exchange.request.rpc
    count_messages(exchange, observation, since)
    await exchange.in_task()
    if wire is not None:
        await serve_rpc(exchange, wire)
    elif exchange.websocket is not None:
        await serve_websocket(exchange, exchange.websocket)
    elif exchange.endpoint.method.stream_type.server:
        await serve_server_stream(exchange)
    else:
        await serve_client_stream(exchange)


async def _serve_no_method(exchange: Exchange) -> None:
    """Answers OPTIONS.

    Raises:
        StatusError: there is nothing at the path, or something is wrong with it.
    """
    route = exchange.request.route
    if isinstance(route, Options):
        await until_sent(exchange.respond(options(route.methods)))
    elif isinstance(route, NoRoute):
        raise no_route(exchange, route)
    elif isinstance(route, StatusError):
        raise route


def no_route(exchange: Exchange, route: NoRoute) -> StatusError:
    """Returns the error for a request that neither the contract nor the framework takes."""
    request = exchange.request
    transcoder = request.served.transcoder
    if exchange.websocket is not None:
        return transcoder.no_handshake(request.path)
    return transcoder.no_route(route, request.http_method, request.path)


async def _end_early(exchange: Exchange, error: BaseException) -> None:
    """Ends an exchange that an error has ended, or a policy that answers itself.

    Raises:
        asyncio.CancelledError: it is the error, and nobody is to be told why.
    """
    closing = exchange.edge.closing
    if isinstance(error, StatusError):
        if exchange.status:
            code = code_name(error.code)
            log.warning("%s: %s after the head was sent", log_name(exchange), code)
        elif exchange.last_event_id and await _tell_reader(exchange, error):
            return
        await _fail(exchange, error)
    elif isinstance(error, ClientGone):
        exchange.ended_by = exchange.ended_by or EndedBy.CLIENT
        if exchange.websocket is None:
            await exchange.give_up()
    elif isinstance(error, Answer):
        exchange.ended_by = EndedBy.EDGE
        await _answer(
            exchange,
            HttpResponse(error.http_status, error.body, error.content_type, error.headers),
        )
    elif not isinstance(error, asyncio.CancelledError):
        log.error("%s: internal error", log_name(exchange), exc_info=error)
        await _fail(exchange, StatusError.of(INTERNAL, "internal error"))
    elif exchange.status or not closing:
        exchange.ended_by = EndedBy.SHUTDOWN if closing else EndedBy.CLIENT
        raise error
    else:  # the shutdown waits no longer; the caller is told why
        await _fail(exchange, StatusError.of(UNAVAILABLE, Interruption.SHUTDOWN.value))


async def _fail(exchange: Exchange, error: StatusError) -> None:
    """Answers with an error; a response that has started is cut."""
    exchange.failure = error
    edge, is_websocket = exchange.edge, exchange.websocket is not None
    if exchange.status:
        exchange.abort(error)
        return
    if is_websocket:
        _log_refusal(exchange, error)
    if (wire := exchange.request.rpc) is not None:
        await _answer(exchange, rpc_failure(wire, error))
        return
    accept = "" if is_websocket else exchange.request.head.accept
    transcoder = exchange.request.served.transcoder
    await _answer(exchange, failure(transcoder, edge.metadata, error, accept))


async def _tell_reader(exchange: Exchange, error: StatusError) -> bool:
    """Tells a reader of events that reconnects; returns False if the request is none of such a reader."""
    try:
        return await refuse_reader(exchange, error)
    except ClientGone:
        exchange.ended_by = EndedBy.CLIENT
        return True


async def _answer(exchange: Exchange, response: HttpResponse) -> None:
    try:
        if exchange.websocket is None:
            await until_sent(exchange.respond(response))
        else:
            await exchange.refuse(response)
    except ClientGone:
        exchange.ended_by = EndedBy.CLIENT


def _log_refusal(exchange: Exchange, error: StatusError) -> None:
    """Logs why a handshake is refused: a browser shows its page neither the status nor the body.

    A message of another error than a missing route may repeat a header's value, which no log line has.
    """
    missing = isinstance(exchange.request.route, NoRoute) and error.code == NOT_FOUND
    reason = error.status.message if missing else code_name(error.code)
    log.info("%s: handshake refused: %s", log_name(exchange), reason)
