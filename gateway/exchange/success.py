"""Status and headers of a successful response, from the initial metadata of its call."""

from __future__ import annotations

import logging

from gateway.exchange.exchange import Exchange
from gateway.transcoding.metadata import Headers, Metadata
from gateway.transcoding.success_status import InvalidSuccessStatus, success_status

log = logging.getLogger(__name__)

_OK = 200
_SAFE = ("GET", "HEAD")


def success(
    exchange: Exchange,
    initial: Metadata,
    *,
    may_be_empty: bool,
    events: bool = False,
) -> tuple[int, Headers]:
    """Returns HTTP status and headers.

    A status that the server names and the response cannot have is logged once for each method and reason.

    Args:
        exchange: whose call has not failed.
        initial: the server's initial metadata.
        may_be_empty: whether the response can go without a body.
        events: whether the response is Server-Sent Events.
    """
    edge, endpoint = exchange.edge, exchange.endpoint
    headers = edge.metadata.fitting(edge.metadata.headers(initial))
    key = edge.metadata.status_key
    values = [value for each, value in initial if each == key]
    if not values:
        return _OK, headers
    try:
        status = success_status(
            values,
            request=exchange.metadata,
            headers=headers,
            safe=endpoint.binding.http_method in _SAFE,
            raw=endpoint.has_raw_response,
            may_be_empty=may_be_empty,
            events=events,
        )
    except InvalidSuccessStatus as error:
        warning = (endpoint.method.full_name, str(error))
        if warning not in edge.warnings:
            edge.warnings.add(warning)
            log.warning("%s: %s of its initial metadata is ignored: %s", warning[0], key, error)
        return _OK, headers
    return status, headers
