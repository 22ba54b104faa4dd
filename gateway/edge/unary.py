"""One request, one answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from gateway.edge.answer import Whole
from gateway.edge.client import Attendance, HttpClient, body_too_large
from gateway.edge.exchange import Edge, Exchange
from gateway.edge.success import success
from gateway.transcoding.endpoint import EncodedBody, Endpoint
from gateway.transcoding.metadata import Headers, Metadata
from gateway.transcoding.negotiation import check_json, json_options, require
from gateway.transcoding.request_head import RequestHead
from gateway.transcoding.success_status import CONTENTLESS
from gateway.upstream.port import Call, Response

_OFFERED: Final = ("application/json",)
_NO_HEADERS: Final[Headers] = ()
_KEPT: Final = 1024
"""Callers send the same few `Accept` again and again, so what one means is kept."""
_PATIENCE: Final = 0.01
"""So many seconds a body and its call may take before anyone looks whether the caller is still there."""


async def serve_unary(exchange: Exchange) -> None:
    """Answers an exchange with the one message of its call.

    Raises:
        StatusError: the request is wrong, or the call failed.
        ClientGone: the client left.
    """
    encode = encoder_of_one(exchange.edge, exchange.endpoint, exchange.head)
    client = HttpClient(exchange.receive, exchange.deadline)
    with Attendance(client.gone, patience=_PATIENCE) as attendance:
        body = await read_body(exchange, client)
        request = await exchange.decode(body)
        async with exchange.open(request) as call:
            answer = await read_answer(exchange, call, encode)
            attendance.end()  # for a server, a complete answer may be the end of the client too
            await exchange.answer.whole(answer)


def encoder_of_one(
    edge: Edge, endpoint: Endpoint, head: RequestHead
) -> Callable[[bytes], EncodedBody]:
    """Returns what makes the body of an answer of one message.

    Raises:
        StatusError: 406, the caller takes nothing that there is.
    """
    if endpoint.has_raw_response:
        return endpoint.extract_raw_body
    return _json_encoder(edge, endpoint, head.accept)


@lru_cache(maxsize=_KEPT)
def _json_encoder(edge: Edge, endpoint: Endpoint, accept: str) -> Callable[[bytes], EncodedBody]:
    media_type = require(accept, _OFFERED)
    encode = endpoint.encoder(json_options(accept, media_type, edge.json_options))
    return lambda message: (media_type, encode(message))


async def read_answer(
    exchange: Exchange, call: Call, encode: Callable[[bytes], EncodedBody]
) -> Whole:
    """Waits for the one message that a call answers; makes the answer of it."""
    message = await anext(call)
    response = Response(message, await call.initial_metadata(), await call.trailing_metadata())
    return whole_answer(
        exchange.edge, exchange.endpoint, encode, tuple(exchange.head.metadata), response
    )


def whole_answer(
    edge: Edge,
    endpoint: Endpoint,
    encode: Callable[[bytes], EncodedBody],
    request: Metadata,
    response: Response,
) -> Whole:
    """Makes the answer of what a call has answered.

    Args:
        edge: what is served, and how.
        endpoint: of the request.
        encode: makes the body.
        request: the metadata that the server was sent.
        response: what it has answered.

    Raises:
        StatusError: INTERNAL, for what upstream sent is not what the contract says.
    """
    status, headers = 200, _NO_HEADERS
    if response.initial:
        status, headers = success(edge, endpoint, request, response.initial, may_be_empty=True)
    if response.trailing:
        headers += edge.metadata.headers(response.trailing, prefix="grpc-trailer-")
        headers = edge.metadata.fitting(headers)
    if status in CONTENTLESS:
        return Whole(status, headers=headers)
    media_type, body = encode(response.message)
    return Whole(status, body, media_type, headers)


async def read_body(exchange: Exchange, client: HttpClient) -> bytes:
    """Reads the body of a request that is one message.

    Raises:
        StatusError: it is too large, wrongly coded, or said to be what it must not be.
        ClientGone: the client left.
    """
    head, limit = exchange.head, exchange.edge.limits.max_message
    if (head.content_length or 0) > limit:
        raise body_too_large(limit)
    body = await client.body(limit, head.content_encoding)
    check_body(exchange.endpoint, head, len(body))
    return body


def check_body(endpoint: Endpoint, head: RequestHead, length: int) -> None:
    """Looks whether a body of some length is said to be what its endpoint takes.

    Raises:
        StatusError: 415, it is not.
    """
    if length and not endpoint.has_raw_request:
        check_json(head.content_type)
