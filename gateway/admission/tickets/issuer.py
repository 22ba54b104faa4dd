"""Gives tickets: the answer to `POST /.protoway/ticket`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import orjson
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo

from gateway.admission.identity import Identity
from gateway.admission.tickets.settings import TicketSettings
from gateway.admission.tickets.store import StoreFull, TicketStore
from gateway.admission.tickets.streams import Streams
from gateway.admission.tickets.ticket import Ticket, key_of, new_id
from gateway.exchange.request_info import RequestInfo
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.origin import serialized_origin
from gateway.transcoding.status import (
    NOT_FOUND,
    PERMISSION_DENIED,
    RESOURCE_EXHAUSTED,
    UNAUTHENTICATED,
    StatusError,
    bad_request,
)
from gateway.transcoding.violations import quoted

FIELDS: Final = ("method", "path", "lastEventId")
"""Fields of the body."""
KIND: Final = "ticket"
"""`Identity.kind` of the caller of a stream that a ticket has opened."""
_MAX_EVENT_ID_BYTES: Final = 1024
_CREDENTIALS: Final = frozenset({"authorization", "cookie"})
"""Metadata keys that are never kept with a ticket."""


class TicketIssuer:
    """Gives tickets to callers that have an identity."""

    def __init__(self, settings: TicketSettings, store: TicketStore, streams: Streams) -> None:
        """Takes the store, and the streams of the contract."""
        self._settings = settings
        self._store = store
        self._streams = streams

    async def issue(self, request: RequestInfo, body: bytes) -> bytes:
        """Returns the JSON of a new ticket: `ticket`, and `expiresIn` in seconds.

        Args:
            request: the policies have admitted it, and set its identity.
            body: its JSON, see `FIELDS`.

        Raises:
            StatusError: UNAUTHENTICATED, the request has no identity, or its credentials have ended;
                PERMISSION_DENIED, it comes from a page without an origin; INVALID_ARGUMENT, the body is
                wrong; NOT_FOUND, it names no stream; RESOURCE_EXHAUSTED, too many tickets are open.
        """
        identity, now = _identity(request), time.time()
        expires_at = now + self._settings.lifetime_seconds
        if identity.expires_at is not None:
            expires_at = min(expires_at, identity.expires_at)
        if expires_at <= now:
            raise StatusError.of(UNAUTHENTICATED, "the credentials have expired")
        method, path, last_event_id = self._read(body)
        ticket = Ticket(
            identity=identity,
            expires_at=expires_at,
            method=method,
            path=path,
            origin=_origin(request),
            stream_ends_at=_earlier(request.expires_at, identity.expires_at),
            metadata=_metadata(request),
            last_event_id=last_event_id,
        )
        ticket_id = new_id()
        key = key_of(ticket_id.encode())
        assert key is not None  # noqa: S101 - it was made as one
        try:
            await self._store.put(
                key,
                ticket.to_bytes(),
                expires_at=expires_at,
                caller=f"{identity.kind}:{identity.name}",
            )
        except StoreFull as error:
            retry = RetryInfo(retry_delay=Duration(seconds=1))
            raise StatusError.of(RESOURCE_EXHAUSTED, str(error), retry) from None
        return orjson.dumps({"ticket": ticket_id, "expiresIn": round(expires_at - now, 3)})

    def _read(self, body: bytes) -> tuple[str, str, str]:
        """Returns the method, the path and the event id of a body."""
        fields = _fields(body)
        method, path, last_event_id = (fields.get(name, "") for name in FIELDS)
        if bool(method) == bool(path):
            text = "give method, as package.Service/Method, or path, that the stream is opened at"
            raise bad_request([("", text)])
        if method:
            method = f"/{method.removeprefix('/')}"
            if not self._streams.has_method(method):
                raise StatusError.of(NOT_FOUND, f"no stream is served of method {quoted(method)}")
            return method, "", last_event_id
        below = self._streams.below_root(path)
        if below is None:
            raise StatusError.of(NOT_FOUND, f"no stream is opened at path {quoted(path)}")
        return "", below, last_event_id


def _fields(body: bytes) -> Mapping[str, str]:
    try:
        fields: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request([("", f"the body is not JSON: {error}")]) from None
    if not isinstance(fields, dict):
        raise bad_request([("", f"the body is an object with {', '.join(FIELDS)}")])
    wrong = [(quoted(name), "there is no such field") for name in fields if name not in FIELDS]
    wrong += [(name, "is a string") for name in FIELDS if not isinstance(fields.get(name, ""), str)]
    if (
        not wrong
        and len(fields.get("lastEventId", "").encode(errors="replace")) > _MAX_EVENT_ID_BYTES
    ):
        wrong.append(("lastEventId", f"is longer than {_MAX_EVENT_ID_BYTES} bytes"))
    if wrong:
        raise bad_request(wrong)
    return fields


def _identity(request: RequestInfo) -> Identity:
    identity = request.identity
    if not isinstance(identity, Identity):
        raise StatusError.of(UNAUTHENTICATED, "a ticket needs credentials, and none came")
    if identity.kind == KIND:
        raise StatusError.of(PERMISSION_DENIED, "a ticket gives no other ticket")
    return identity


def _origin(request: RequestInfo) -> str:
    """Returns the origin of the page that asks; empty if no browser does.

    A browser names it with every POST. `null` is the origin of every sandboxed page, so nothing can be bound
    to it.
    """
    origin = request.header(b"origin")
    if origin is None:
        return ""
    try:
        return serialized_origin(origin.decode("latin-1"))
    except ValueError:
        text = f"a page of origin {quoted(origin.decode('latin-1'))} gets no ticket"
        raise StatusError.of(PERMISSION_DENIED, text) from None


def _metadata(request: RequestInfo) -> Metadata:
    """Returns what the credentials have added to the call: keys that no client may set."""
    kept = request.removed_metadata - _CREDENTIALS
    return tuple((key, value) for key, value in request.metadata if key.lower() in kept)


def _earlier(one: float | None, other: float | None) -> float | None:
    """Returns when a stream ends: what the authenticator has set counts, with its grace."""
    return other if one is None else one
