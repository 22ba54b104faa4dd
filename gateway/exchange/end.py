"""The end of an exchange, and what its observers are told of it: one mechanism for all who watch."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic, time
from typing import Final

from gateway.contract.route_table import RouteMatch
from gateway.exchange.exchange import Exchange
from gateway.exchange.observation import MAX_ENDS, Observation, log_fault, tell_each
from gateway.exchange.observer import EndedBy, RequestEnd
from gateway.exchange.request_info import RequestInfo
from gateway.exchange.request_log import request_name
from gateway.exchange.tally import Tally
from gateway.exchange.unary_end import UnaryEnd, make_end
from gateway.transcoding.status import CANCELLED, OK, UNAVAILABLE

log = logging.getLogger(__name__)

_UPSTREAM: Final = EndedBy.UPSTREAM
_MAX_NAME: Final = 256
"""Maximum characters of an identity's name."""
_clock: Final = monotonic
_time: Final = time
"""Compiled code finds it without a look into the module."""


def tell_of_start(exchange: Exchange, observation: Observation) -> None:
    """Makes what observers see, and tells them of the start."""
    exchange.observation = observation
    info = exchange.inform()
    for tell in observation.request_started:
        try:
            tell(info)
        except Exception:
            log_fault(tell)


def count_messages(exchange: Exchange, observation: Observation | None, since: float) -> None:
    """Counts what a stream or a page carries, if there are observers, and tells them of its progress."""
    if observation is None:
        return
    exchange.tally = tally = Tally(since)
    if observation.progress_seconds is not None:
        _tell_later(exchange, observation, tally)


def _tell_later(exchange: Exchange, observation: Observation, tally: Tally) -> None:
    told, interval = observation.exchange_continues, observation.progress_seconds
    if not told or interval is None:
        return

    def note() -> None:
        observation.tell_ends()  # they were before it
        so_far = request_end(exchange, tally.since)
        tell_each(told, so_far._replace(counts=tally.copy(), is_over=False))
        _tell_later(exchange, observation, tally)

    tally.timer = asyncio.get_running_loop().call_later(interval, note)


def end_exchange(exchange: Exchange, observation: Observation | None, since: float) -> None:
    """Ends an exchange: policies give back what they have taken, and observers are told."""
    if (info := exchange.info) is not None:
        info.on_revoke = None
        if info.at_end:
            _give_back(exchange, info)
    if observation is None or not observation.needs_end:
        return
    if (tally := exchange.tally) is not None and tally.timer is not None:
        tally.timer.cancel()
    ended: RequestEnd | None = None
    unary: UnaryEnd | None = None
    if (ends := observation.ends) is not None:
        unary = _unary_end(exchange, since)
        if unary is None:
            ended = request_end(exchange, since)
            ends.append(ended)
        else:
            ends.append(unary)
        if not 1 < len(ends) < MAX_ENDS:
            observation.gather()
    if observation.tells_at_once:
        if ended is None:
            ended = request_end(exchange, since) if unary is None else unary.whole(_time())
        _tell_of_end(observation, info, ended)


def _tell_of_end(observation: Observation, info: RequestInfo | None, ended: RequestEnd) -> None:
    """Tells those who want the end at once."""
    for tell in observation.exchange_ended:
        try:
            tell(ended)
        except Exception:
            log_fault(tell)
    if info is None:
        return
    for tell_both in observation.request_ended:
        try:
            tell_both(info, ended)
        except Exception:
            log_fault(tell_both)


def _give_back(exchange: Exchange, info: RequestInfo) -> None:
    for tell in info.at_end:
        try:
            tell()
        except Exception:  # the others have places to give back
            log.exception("%s: what a policy does at the end has failed", log_name(exchange))


def _unary_end(exchange: Exchange, since: float) -> UnaryEnd | None:
    """Returns how an exchange has ended, if it is of the commonest kind."""
    request = exchange.request
    if (
        exchange.failure is not None
        or exchange.ended_by is not None
        or exchange.tally is not None
        or exchange.websocket is not None
        or not isinstance(request.route, RouteMatch)
    ):
        return None
    now = _clock()
    client, identity = exchange.client, ""
    if (info := exchange.info) is not None:
        client = info.client
        if info.identity is not None:
            identity = _name_of(info.identity)
    return UnaryEnd(
        now,
        now - since,
        exchange.request_id,
        _traceparent(exchange),
        client,
        identity,
        request,
        exchange.endpoint.binding,
        exchange.status,
        exchange.bytes_in,
        exchange.bytes_out,
    )


def _traceparent(exchange: Exchange) -> str:
    """Returns the `traceparent` that went upstream, or that of the client; empty if there is none."""
    trace_key, info = exchange.edge.trace_key, exchange.info
    if trace_key is None:
        values = exchange.headers.values(b"traceparent")
        return values[0].decode("latin-1") if values else ""
    if info is not None:
        for key, value in info.metadata:  # one that was refused has not taken them
            if key == trace_key:
                return value if isinstance(value, str) else ""
    for key, value in exchange.metadata:
        if key == trace_key:
            return value if isinstance(value, str) else ""
    return ""


def request_end(exchange: Exchange, since: float) -> RequestEnd:
    """Returns how an exchange has ended, or how far it is."""
    request, info, failure = exchange.request, exchange.info, exchange.failure
    route = request.route
    code, ended_by = OK, _UPSTREAM
    if failure is not None or exchange.ended_by is not None:
        code, ended_by = outcome(exchange)
    client, identity = exchange.client, ""
    if info is not None:
        client = info.client
        if info.identity is not None:
            identity = _name_of(info.identity)
    made: RequestEnd = make_end(
        RequestEnd,
        (
            _time(),
            _clock() - since,
            exchange.request_id,
            _traceparent(exchange),
            client,
            identity,
            request.http_method,
            route.target.binding if isinstance(route, RouteMatch) else None,
            exchange.status,
            code,
            ended_by,
            exchange.bytes_in,
            exchange.bytes_out,
            exchange.tally,
            exchange.websocket is not None,
            failure is not None and failure.by_upstream,
            request.path,
            True,
            request.http_version,
            "" if request.rpc is None else request.rpc.name,
        ),
    )
    return made


def _name_of(identity: object) -> str:
    """Returns the name of an identity; that of a user's own kind may have none, or fail."""
    try:
        found = getattr(identity, "name", "")
    except Exception:
        log.exception("the name of an identity cannot be read")
        return ""
    return found[:_MAX_NAME] if isinstance(found, str) else ""


def outcome(exchange: Exchange) -> tuple[int, EndedBy]:
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


def log_name(exchange: Exchange) -> str:
    """Returns what log lines call an exchange."""
    request = exchange.request
    http_method = request.http_method if exchange.websocket is None else "WebSocket"
    return request_name(exchange.request_id, http_method, request.path)
