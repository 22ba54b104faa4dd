"""One request, one answer."""

from __future__ import annotations

import asyncio

from gateway.edge.answer import send_answer
from gateway.edge.client import Attendance, HttpClient
from gateway.edge.exchange import Exchange
from gateway.transcoding.status import DEADLINE_EXCEEDED, StatusError


async def serve_unary(exchange: Exchange) -> None:
    """Answers an exchange with the one message of its call.

    Raises:
        StatusError: the request is wrong, or the call failed.
        ClientGone: the client left.
    """
    edge, endpoint = exchange.edge, exchange.endpoint
    client = HttpClient(exchange.receive)
    try:
        async with asyncio.timeout_at(exchange.deadline.at):
            body = await client.body(edge.limits.max_message)
    except TimeoutError:
        raise StatusError.of(DEADLINE_EXCEEDED, "the body did not arrive in time") from None
    request = endpoint.decode_request(exchange.captures, exchange.query, body)
    async with Attendance(client.gone), exchange.open(request) as call:
        answer = endpoint.encode_response(await anext(call))
        headers = (
            *edge.metadata.headers(await call.initial_metadata()),
            *edge.metadata.headers(await call.trailing_metadata(), prefix="grpc-trailer-"),
        )
        await send_answer(exchange.send, 200, answer, headers)
