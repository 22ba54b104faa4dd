"""What a door has read of a request: its head, and what the contract's table says of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.exchange.routing import Route
from gateway.exchange.served import ServedContract
from gateway.transcoding.metadata import Metadata, MetadataFilter
from gateway.transcoding.request_head import REQUEST_ID, RequestHead, read_head
from gateway.transcoding.rpc.metadata import request_metadata
from gateway.transcoding.rpc.wire import RpcWire
from gateway.transcoding.status import StatusError

_ID_SIZE: Final = 32
"""Characters: hexadecimal digits."""
_DRAWN: Final = 64
"""How many ids are drawn at once: to ask the system for each would cost more than all else about it."""
_IDS: Final[list[str]] = []
"""Those that were drawn and not taken yet."""


@dataclass(slots=True, eq=False)
class Request:
    """One request, without what is its own: query, body, id, trace, time and identity.

    It is a pure function of the head's bytes, the connection and the contract, and is not changed by an
    exchange; so it may serve for several requests with the same head.
    """

    http_method: str
    """As it came; that of a WebSocket handshake is GET."""
    path: str
    """As it came, percent-encoded, without the query."""
    head: RequestHead
    """What the headers say to the edge."""
    route: Route
    """What the table of the contract says of it."""
    served: ServedContract
    """The contract that was in force when it was matched."""
    error: StatusError | None = None
    """What is wrong with the headers."""
    client: str = ""
    """IP address of the client; empty where the server does not tell it."""
    secure: bool = False
    """Whether it came over TLS."""
    subprotocols: Sequence[str] = ()
    """Those that a WebSocket handshake offers."""
    rpc: RpcWire | None = None
    """The wire of a call that is an RPC on its own; None: REST, SSE, WebSocket, …"""
    http_version: str = "1.1"
    """As the access log has it: `1.0`, `1.1` or `2`."""


def parse_head(
    headers: Iterable[tuple[bytes, bytes]], allowed: MetadataFilter, *, is_rpc: bool = False
) -> tuple[RequestHead, StatusError | None]:
    """Returns what headers say, and what is wrong with them.

    All headers of an RPC on its own wire are metadata, but what is the connection's own.
    """
    head, problem = RequestHead(), None
    try:
        read_head(headers, allowed, head)
    except StatusError as error:
        problem = error
    if is_rpc:
        head.metadata = allowed.without_withheld(request_metadata(tuple(headers)))
        if head.request_id and REQUEST_ID in allowed.request:
            head.metadata.append((allowed.request[REQUEST_ID], head.request_id))
        head.last_event_id = ""  # only events have ids
    return head, problem


def identify(head: RequestHead, allowed: MetadataFilter) -> tuple[str, Metadata]:
    """Returns the id of a request, and its metadata with the id, if that may go upstream."""
    if head.request_id:
        return head.request_id, tuple(head.metadata)
    request_id = new_request_id()
    key = allowed.request.get(REQUEST_ID)
    made = () if key is None else ((key, request_id),)
    return request_id, (*head.metadata, *made)


def new_request_id() -> str:
    """Returns a random id."""
    try:
        return _IDS.pop()
    except IndexError:
        text = os.urandom(_DRAWN * _ID_SIZE // 2).hex()
        drawn = [text[at : at + _ID_SIZE] for at in range(0, len(text), _ID_SIZE)]
        request_id = drawn.pop()
        _IDS.extend(drawn)
        return request_id


os.register_at_fork(after_in_child=_IDS.clear)  # such a process draws others
