"""Takes tickets out of URLs: an `Authenticator`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final, Self, TypeAlias

from gateway.admission.identity import Identity
from gateway.admission.tickets.issuer import KIND
from gateway.admission.tickets.settings import TicketSettings
from gateway.admission.tickets.store import TicketStore
from gateway.admission.tickets.ticket import Ticket, key_of
from gateway.exchange.request_info import RequestInfo
from gateway.transcoding.origin import is_same_origin, serialized_origin
from gateway.transcoding.status import PERMISSION_DENIED, UNAUTHENTICATED, StatusError
from gateway.transcoding.violations import quoted

_USED: Final = "the ticket is unknown, was used already, or has expired; ask for a new one"
Confirm: TypeAlias = Callable[[Identity, RequestInfo], None]
"""Raises a StatusError if an identity is in force no longer; ends the request's stream when that happens."""
_NONE: Final = frozenset[str]()


class TicketAuthenticator:
    """Says who has asked for the ticket in the query of a request.

    A ticket is used up by whatever it is shown for: one that is refused for another method, or for a page of
    another origin, is good for nothing any more.
    """

    def __init__(
        self, settings: TicketSettings, store: TicketStore, confirm: Mapping[str, Confirm]
    ) -> None:
        """Takes the store, and what confirms identities, by their kind."""
        self._confirm = confirm
        self._parameter = settings.parameter.encode()
        self._store = store

    async def __aenter__(self) -> Self:
        """Opens the store."""
        await self._store.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes it."""
        await self._store.__aexit__()

    @property
    def challenge(self) -> str:
        """See `Authenticator`."""
        return ""

    @property
    def files(self) -> tuple[()]:
        """See `Authenticator`."""
        return ()

    @property
    def reserved_metadata(self) -> frozenset[str]:
        """See `Authenticator`; the authenticator behind a ticket reserves its keys."""
        return _NONE

    def authenticate(self, request: RequestInfo) -> Awaitable[Identity] | None:
        """See `Authenticator`."""
        query = request.query
        if not query or (query.find(self._parameter) < 0 and query.find(b"%") < 0):
            return None
        ticket_id = request.take_parameter(self._parameter)
        return None if ticket_id is None else self._redeem(request, ticket_id)

    async def _redeem(self, request: RequestInfo, ticket_id: bytes) -> Identity:
        if request.http_method != "GET":
            raise _denied("a ticket opens a stream by GET or as a WebSocket, and nothing else")
        key = key_of(ticket_id)
        data = None if key is None else await self._store.take(key)
        if data is None:
            raise StatusError.of(UNAUTHENTICATED, _USED)
        ticket = Ticket.from_bytes(data)
        if ticket.expires_at <= time.time():
            raise StatusError.of(UNAUTHENTICATED, "the ticket has expired; ask for a new one")
        _check_target(ticket, request)
        _check_origin(ticket, request)
        if (confirm := self._confirm.get(ticket.identity.kind)) is not None:
            confirm(ticket.identity, request)
        request.metadata.extend(ticket.metadata)
        request.expires_at = ticket.stream_ends_at
        request.last_event_id = ticket.last_event_id
        return replace(ticket.identity, kind=KIND, ticket_of=ticket.identity.kind)


def _check_target(ticket: Ticket, request: RequestInfo) -> None:
    method = request.method
    if ticket.method:
        fits = method is not None and method.path == ticket.method
    else:
        fits = method is not None and request.path == ticket.path
    if not fits:
        raise _denied("the ticket is for another method or path")


def _check_origin(ticket: Ticket, request: RequestInfo) -> None:
    """Refuses a page of another origin than the one that has asked for the ticket.

    A browser names the origin of a page in each handshake, and in each GET but those to the page's own
    origin. So a request without one comes from the edge's own origin, or from no browser.
    """
    header = request.header(b"origin")
    if header is not None:
        try:
            origin = serialized_origin(header.decode("latin-1"))
        except ValueError:
            origin = "null"
        if origin != ticket.origin:
            raise _denied(f"the ticket is not for a page of origin {quoted(origin)}")
    elif ticket.origin and not is_same_origin(
        ticket.origin, request.host, secure=request.scheme == "https"
    ):
        raise _denied("the ticket is for a page of another origin than this edge's")


def _denied(text: str) -> StatusError:
    return StatusError.of(PERMISSION_DENIED, text)
