"""What a door has read of a request: its head, and what the contract's table says of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import getrandbits

from gateway.exchange.routing import Route
from gateway.exchange.served import ServedContract
from gateway.transcoding.metadata import Metadata, MetadataFilter
from gateway.transcoding.request_head import REQUEST_ID, RequestHead, read_head
from gateway.transcoding.status import StatusError


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


def parse_head(
    headers: Iterable[tuple[bytes, bytes]], allowed: MetadataFilter
) -> tuple[RequestHead, StatusError | None]:
    """Returns what headers say, and what is wrong with them."""
    head = RequestHead()
    try:
        read_head(headers, allowed, head)
    except StatusError as error:
        return head, error
    return head, None


def identify(head: RequestHead, allowed: MetadataFilter) -> tuple[str, Metadata]:
    """Returns the id of a request, and its metadata with the id, if that may go upstream."""
    if head.request_id:
        return head.request_id, tuple(head.metadata)
    request_id = new_request_id()
    key = allowed.request.get(REQUEST_ID)
    made = () if key is None else ((key, request_id),)
    return request_id, (*head.metadata, *made)


def new_request_id() -> str:
    """Returns a random id. It is no secret, so it needs no randomness of the system."""
    return getrandbits(128).to_bytes(16, "big").hex()  # a process that was forked draws others
