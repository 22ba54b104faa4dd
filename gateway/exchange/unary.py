"""One request, one answer."""

from __future__ import annotations

from typing import Final

from gateway.exchange.attendance import Attendance
from gateway.exchange.body import MessageBody, body_too_large
from gateway.exchange.call import decode
from gateway.exchange.exchange import Exchange
from gateway.exchange.inline import TaskOutcome
from gateway.exchange.response import HttpResponse
from gateway.exchange.success import success
from gateway.transcoding.codec import is_long
from gateway.transcoding.endpoint import JSON
from gateway.transcoding.form_encoder import FormEncoder
from gateway.transcoding.metadata import Headers
from gateway.transcoding.negotiation import check_json
from gateway.transcoding.success_status import CONTENTLESS
from gateway.upstream.port import Call, PendingOutcome, Response

_NO_HEADERS: Final[Headers] = ()
_PATIENCE: Final = 0.01
"""Seconds that a body and its call may take before the client is watched."""


async def serve_unary(exchange: Exchange) -> None:
    """Answers an exchange with the one message of its call.

    Raises:
        StatusError: the request is wrong, or the call failed.
        ClientGone: the client left.
    """
    encode = encoder_of_one(exchange)
    body = whole_body(exchange)
    if body is None:
        response = await _read_and_call(exchange)
    else:
        if is_long(body):
            message = await decode(exchange, body)
        else:
            content_type = exchange.request.head.content_type
            message = exchange.endpoint.decode_request(
                exchange.captures, exchange.query, body, content_type=content_type
            )
        response = await start_call(exchange, _received(exchange, message))
    if (sending := exchange.respond(whole_response(exchange, encode, response))) is not None:
        await sending


async def _read_and_call(exchange: Exchange) -> Response:
    """Reads the body, and calls, while the client is watched.

    It ends before the response: for a server, a complete response may be the end of the client too.
    """
    await exchange.in_task()
    reader = MessageBody(exchange.body, exchange.deadline, exchange.count_received)
    with Attendance(reader.gone, patience=_PATIENCE):
        message = await decode(exchange, await read_body(exchange, reader))
        return await start_call(exchange, _received(exchange, message))


def _received(exchange: Exchange, message: bytes) -> bytes:
    """Tells policies and observers, where there are any, of a message; returns it."""
    if (info := exchange.info) is not None and (info.message_checks or exchange.observation):
        exchange.received(len(message))
    return message


def start_call(exchange: Exchange, message: bytes) -> PendingOutcome:
    """Starts the unary call of an exchange; returns its outcome, to be awaited."""
    run = exchange.run
    outcome: PendingOutcome = TaskOutcome() if run is None else run
    outcome.cancel_call = exchange.edge.upstream.start_unary(
        exchange.endpoint.method,
        message,
        outcome.set,
        metadata=exchange.metadata,
        timeout=exchange.timeout if exchange.deadline is None else exchange.remaining(),
    )
    return outcome


def encoder_of_one(exchange: Exchange) -> FormEncoder | None:
    """Returns the encoder of a response that is one message; None: it is an HttpBody.

    Raises:
        StatusError: 406, the caller accepts nothing that the method has.
    """
    endpoint = exchange.endpoint
    if endpoint.has_raw_response:
        return None
    return endpoint.whole_encoder(exchange.request.head.accept)


async def read_response(exchange: Exchange, call: Call, encode: FormEncoder | None) -> HttpResponse:
    """Waits for the one message of a call; makes the response of it."""
    message = await anext(call)
    response = Response(message, await call.initial_metadata(), await call.trailing_metadata())
    return whole_response(exchange, encode, response)


def whole_response(
    exchange: Exchange, encode: FormEncoder | None, response: Response
) -> HttpResponse:
    """Makes the HTTP response of a call's response.

    Raises:
        StatusError: INTERNAL, for what upstream sent is not what the contract says.
    """
    edge, info = exchange.edge, exchange.info
    if exchange.tally or (info is not None and (info.sent_checks or exchange.observation)):
        exchange.sent(len(response.message))
    status, headers = 200, _NO_HEADERS
    if response.initial:
        status, headers = success(exchange, response.initial, may_be_empty=True)
    if response.trailing:
        headers += edge.metadata.headers(response.trailing, prefix="grpc-trailer-")
        headers = edge.metadata.fitting(headers)
    if status in CONTENTLESS:
        return HttpResponse(status, headers=headers)
    if encode is None:
        media_type, body = exchange.endpoint.extract_raw_body(response.message)
        return HttpResponse(status, body, media_type, headers)
    return HttpResponse(status, encode(response.message), JSON, headers)


def whole_body(exchange: Exchange) -> bytes | None:
    """Returns the body of a request that is one message, if all of it is there; else None.

    Raises:
        StatusError: as `read_body`.
    """
    body, head = exchange.body.whole_body, exchange.request.head
    if body is None or (body and head.content_encoding):
        return None  # a compressed body is decoded in pieces, with turns of the loop between
    limit = exchange.edge.limits.max_message
    exchange.bytes_in = size = len(body)
    if size > limit:
        raise body_too_large(limit)
    if body and not head.is_json and not exchange.endpoint.has_raw_request:
        check_json(head.content_type)
    return body


async def read_body(exchange: Exchange, body: MessageBody) -> bytes:
    """Reads the body of a request that is one message.

    Raises:
        StatusError: it is too large, wrongly coded, or of a media type that the method does not take.
        ClientGone: the client left.
    """
    head, limit = exchange.request.head, exchange.edge.limits.max_message
    if (head.content_length or 0) > limit:
        raise body_too_large(limit)
    data = await body.read(limit, head.content_encoding)
    if data and not exchange.endpoint.has_raw_request:
        check_json(head.content_type)
    return data
