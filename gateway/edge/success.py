"""Status and headers of an answer whose call has not failed, from the initial metadata of its server."""

from __future__ import annotations

import logging

from gateway.edge.exchange import Edge
from gateway.transcoding.endpoint import Endpoint
from gateway.transcoding.metadata import Headers, Metadata
from gateway.transcoding.success_status import InvalidSuccessStatus, success_status

log = logging.getLogger(__name__)

_OK = 200
_SAFE = ("GET", "HEAD")


def success(
    edge: Edge,
    endpoint: Endpoint,
    request: Metadata,
    initial: Metadata,
    *,
    may_be_empty: bool,
    events: bool = False,
) -> tuple[int, Headers]:
    """Returns HTTP status and headers.

    A status that the server names and the answer cannot have is logged, once for each method and reason.

    Args:
        edge: knows which metadata pass, and which key names a status.
        endpoint: of the request.
        request: the metadata that the server was sent.
        initial: the server's initial metadata.
        may_be_empty: whether the answer can go without a body.
        events: whether the answer is Server-Sent Events.
    """
    headers = edge.metadata.fitting(edge.metadata.headers(initial))
    key = edge.metadata.status_key
    values = [value for each, value in initial if each == key]
    if not values:
        return _OK, headers
    try:
        status = success_status(
            values,
            request=request,
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
