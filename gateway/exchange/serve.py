"""The order in which a request is answered, on every door and for every wire.

    read the head -> match -> admit -> read the body -> call -> answer -> observe

A door reads the head and looks the route up (`Request`); everything behind that stands here, or is called
from here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from time import monotonic
from typing import Any

from gateway.contract.route_table import NoRoute, RouteMatch
from gateway.exchange.attendance import Interruption
from gateway.exchange.exchange import Exchange
from gateway.exchange.policy import Answer, EndedBy, Observation, RequestEnd, RequestInfo
from gateway.exchange.ports import ClientGone
from gateway.exchange.request_log import request_name
from gateway.exchange.response import HttpResponse, failure, options
from gateway.exchange.routing import Options
from gateway.exchange.streams import refuse_reader, serve_client_stream, serve_server_stream
from gateway.exchange.unary import serve_unary
from gateway.exchange.websocket import serve_websocket
from gateway.transcoding.metadata_size import check_metadata
from gateway.transcoding.status import (
    CANCELLED,
    INTERNAL,
    NOT_FOUND,
    OK,
    UNAVAILABLE,
    StatusError,
    code_name,
)

log = logging.getLogger(__name__)


async def serve(exchange: Exchange) -> None:
    """Answers one request; every error is answered too, as its wire answers errors.

    It raises asyncio.CancelledError if its task was cancelled.
    """
    observation, since = exchange.edge.observation, 0.0
    if observation is not None:
        since = monotonic()
        _start_observation(exchange, observation)
    try:
        await _steps(exchange)
    except ClientGone:
        exchange.ended_by = EndedBy.CLIENT
        if exchange.websocket is None:
            await exchange.writer.give_up()
    except StatusError as error:
        if exchange.writer.started:
            code = code_name(error.code)
            log.warning("%s: %s after the head was sent", _name(exchange), code)
        await _fail(exchange, error)
    except asyncio.CancelledError:
        if exchange.writer.started or not exchange.edge.closing:
            exchange.ended_by = EndedBy.SHUTDOWN if exchange.edge.closing else EndedBy.CLIENT
            raise
        # the shutdown waits no longer; the caller is told why
        await _fail(exchange, StatusError.of(UNAVAILABLE, Interruption.SHUTDOWN.value))
    except Exception:
        log.exception("%s: internal error", _name(exchange))
        await _fail(exchange, StatusError.of(INTERNAL, "internal error"))
    finally:
        if exchange.info is not None:
            _end(exchange, exchange.info, since)


async def _steps(exchange: Exchange) -> None:
    """Takes the steps in order; an error of any of them ends them."""
    request, edge = exchange.request, exchange.edge
    route = request.route
    if isinstance(route, RouteMatch):
        exchange.take_route(route)
    if edge.policies:
        try:
            await exchange.admit()
        except Answer as answer:
            response = HttpResponse(answer.http_status, headers=answer.headers)
            http = exchange.websocket is None
            await (exchange.writer.whole(response) if http else exchange.refuse(response))
            return
        except StatusError as error:
            if exchange.last_event_id and await refuse_reader(exchange, error):
                return
            raise
    if exchange.pass_on is not None:
        await exchange.pass_on()
        return
    if request.error is not None:
        raise request.error
    if isinstance(route, RouteMatch):
        check_metadata(exchange.metadata, edge.limits.max_metadata)
        await _answer(exchange)
    elif isinstance(route, Options):
        await exchange.writer.whole(options(route.methods))
    else:
        raise no_route(exchange, route) if isinstance(route, NoRoute) else route


def no_route(exchange: Exchange, miss: NoRoute) -> StatusError:
    """Returns the error for a request that neither the contract nor the framework takes."""
    transcoder, request = exchange.edge.transcoder, exchange.request
    if exchange.websocket is not None:
        return transcoder.no_handshake(request.path)
    return transcoder.no_route(miss, request.http_method, request.path)


def _answer(exchange: Exchange) -> Coroutine[Any, Any, None]:
    """Returns what reads the body, calls the method, and answers with what it answers."""
    if exchange.websocket is None and not exchange.endpoint.method.stream_type.value:
        return serve_unary(exchange)
    return _answer_stream(exchange)


async def _answer_stream(exchange: Exchange) -> None:
    await exchange.run.in_task()
    if exchange.websocket is not None:
        await serve_websocket(exchange, exchange.websocket)
    elif exchange.endpoint.method.stream_type.server:
        await serve_server_stream(exchange)
    else:
        await serve_client_stream(exchange)


async def _fail(exchange: Exchange, error: StatusError) -> None:
    """Answers with an error; a response that has started is cut."""
    exchange.failure = error
    edge, writer = exchange.edge, exchange.writer
    if writer.started:
        writer.abort(error)
        return
    try:
        if exchange.websocket is None:
            accept = exchange.request.head.accept
            await writer.whole(failure(edge.transcoder, edge.metadata, error, accept))
        else:
            _log_refusal(exchange, error)
            await exchange.refuse(failure(edge.transcoder, edge.metadata, error, ""))
    except ClientGone:
        exchange.ended_by = EndedBy.CLIENT


def _log_refusal(exchange: Exchange, error: StatusError) -> None:
    """Logs why a handshake is refused: a browser shows its page neither the status nor the body.

    A message of another error than a missing route may repeat a header's value, which no log line has.
    """
    missing = isinstance(exchange.request.route, NoRoute) and error.code == NOT_FOUND
    reason = error.status.message if missing else code_name(error.code)
    log.info("%s: handshake refused: %s", _name(exchange), reason)


def _name(exchange: Exchange) -> str:
    request = exchange.request
    http_method = request.http_method if exchange.websocket is None else "WebSocket"
    return request_name(exchange.request_id, http_method, request.path)


def _start_observation(exchange: Exchange, observation: Observation) -> None:
    info = exchange.inform()
    if observation.response_started is not None:
        exchange.writer.on_start = partial(observation.response_started, info)
    if observation.request_started is not None:
        observation.request_started(info)


def _end(exchange: Exchange, info: RequestInfo, since: float) -> None:
    for tell in info.at_end:
        try:
            tell()
        except Exception:  # the others have places to give back
            log.exception("%s: what a policy does at the end has failed", _name(exchange))
    observation = exchange.edge.observation
    if observation is not None and observation.request_ended is not None:
        code, ended_by = _outcome(exchange)
        seconds = monotonic() - since
        observation.request_ended(info, RequestEnd(code, exchange.writer.status, ended_by, seconds))


def _outcome(exchange: Exchange) -> tuple[int, EndedBy]:
    """Returns the code with which an exchange has ended, and who ended it."""
    failure, ended_by = exchange.failure, exchange.ended_by
    code = OK if failure is None else failure.code
    if ended_by is not None:
        return (CANCELLED if ended_by is EndedBy.CLIENT else code), ended_by
    if failure is None or failure.by_upstream:
        return code, EndedBy.UPSTREAM
    if exchange.edge.closing and code == UNAVAILABLE:
        return code, EndedBy.SHUTDOWN
    return code, EndedBy.EDGE
