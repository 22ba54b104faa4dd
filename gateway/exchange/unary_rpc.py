"""A unary call on a wire of RPC whose body has come whole: one request, one answer, and no task.

The order is that of REST (`gateway.exchange.unary`); a wire stands where the codec of JSON does there.
"""

from __future__ import annotations

from itertools import islice

from gateway.exchange.call import read_message
from gateway.exchange.exchange import Exchange
from gateway.exchange.response import unary_response
from gateway.exchange.rpc import messages_of, only_message
from gateway.exchange.unary import start_call
from gateway.transcoding.rpc.wire import RpcWire


def whole_call(exchange: Exchange) -> bytes | None:
    """Returns the body of a call that `serve_unary_rpc` answers; None: it answers another one."""
    method = exchange.endpoint.method
    if method.streams or method in exchange.request.served.own_calls:
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
    response = await start_call(exchange, message)
    if info is not None:
        exchange.sent(len(response.message))
    whole = unary_response(wire, response.message, response.initial, response.trailing)
    if (sending := exchange.respond(whole)) is not None:
        await sending
