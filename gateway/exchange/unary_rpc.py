"""A unary call on a wire of RPC whose body has come whole: one request, one answer, and no task.

The order is that of REST (`gateway.exchange.unary`); a wire stands where the codec of JSON does there.
"""

from __future__ import annotations

from itertools import islice

from gateway.exchange.call import read_message
from gateway.exchange.exchange import Exchange
from gateway.exchange.response import HttpResponse
from gateway.exchange.rpc import messages_of, only_message
from gateway.transcoding.rpc.wire import RpcWire


def whole_call(exchange: Exchange) -> bytes | None:
    """Returns the body of a call on a wire of RPC that `serve_unary_rpc` answers; None for any other."""
    method = exchange.endpoint.method
    if method.stream_type.streams or method in exchange.request.served.own_calls:
        return None
    return exchange.body.whole_body


async def serve_unary_rpc(exchange: Exchange, wire: RpcWire, body: bytes) -> None:
    """Answers a call whose one message has come.

    Args:
        exchange: of the call.
        wire: its wire.
        body: of the request.

    Raises:
        StatusError: the request is wrong, or the call failed.
        ClientGone: the client left.
    """
    edge, info = exchange.edge, exchange.info
    exchange.bytes_in = len(body)
    message = wire.single(body, edge.limits.max_message)
    if message is None:
        reader = wire.reader(edge.limits.max_message)
        # a third one would be decompressed for nothing
        message = only_message(exchange, tuple(islice(messages_of(reader, body), 2)))
    if wire.is_json:
        message = await read_message(exchange, wire, message)
    if info is not None:
        exchange.received(len(message))
    outcome = exchange.run.outcome()
    cancel = edge.upstream.start_unary(
        exchange.endpoint.method,
        message,
        outcome.set,
        metadata=exchange.metadata,
        timeout=exchange.timeout if exchange.deadline is None else exchange.remaining(),
    )
    try:
        response = await outcome
        if info is not None:
            exchange.sent(len(response.message))
        end, trailers = wire.end(None, response.trailing)
        whole = HttpResponse(
            200,
            wire.message(response.message) + end,
            wire.content_type,
            wire.head(response.initial),
        )
    except BaseException:
        cancel()
        raise
    if wire.is_whole:
        whole.headers += trailers
    else:
        whole.trailers = trailers
    # behind the block: for a server, a complete response may be the end of the client too
    if (sending := exchange.respond(whole)) is not None:
        await sending
