"""What is known of one ticket, and its id.

Rule: the id says nothing of its holder; what it stands for is in the store, under the digest of the id.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any, Final

from gateway.admission.identity import Identity
from gateway.transcoding.metadata import Metadata

_ID_BYTES: Final = 32
_ID: Final = re.compile(r"[A-Za-z0-9_-]{43}")
"""So many random bytes in base64url."""


def new_id() -> str:
    """Returns the id of a new ticket: 256 random bits."""
    return token_urlsafe(_ID_BYTES)


def key_of(ticket_id: bytes) -> str | None:
    """Returns the key of a ticket in a store; None if a text cannot be an id.

    It is a digest, so that who reads the store has no ticket.
    """
    text = ticket_id.decode("latin-1")
    return sha256(ticket_id).hexdigest() if _ID.fullmatch(text) else None


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a ticket stands for, and what it is bound to."""

    identity: Identity
    """Who has asked for it."""
    expires_at: float
    """Unix time after which it opens nothing."""
    method: str = ""
    """`/package.Service/Method` that it opens; empty: it is bound to a path."""
    path: str = ""
    """Path that it opens, percent-encoded as it came; empty: it is bound to a method."""
    origin: str = ""
    """Origin of the page that has asked for it, serialized; empty: none was named, so no browser has."""
    stream_ends_at: float | None = None
    """Unix time at which a stream that it opens ends; None: the credentials do not end."""
    metadata: Metadata = ()
    """Metadata that the credentials have added to the call; no credentials are among them."""
    last_event_id: str = ""
    """Id of the event after which a stream of events resumes; empty: the request says it, or none."""

    def to_bytes(self) -> bytes:
        """Returns it as JSON."""
        identity = self.identity
        fields = {
            "name": identity.name,
            "kind": identity.kind,
            "claims": dict(identity.claims),
            "ends": identity.expires_at,
            "expires": self.expires_at,
            "method": self.method,
            "path": self.path,
            "origin": self.origin,
            "stream_ends": self.stream_ends_at,
            "metadata": [_to_json(key, value) for key, value in self.metadata],
            "last_event_id": self.last_event_id,
        }
        return json.dumps(fields, default=_plain).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Ticket:
        """Reads what `to_bytes` has made."""
        fields: dict[str, Any] = json.loads(data)
        return cls(
            identity=Identity(fields["name"], fields["kind"], fields["claims"], fields["ends"]),
            expires_at=fields["expires"],
            method=fields["method"],
            path=fields["path"],
            origin=fields["origin"],
            stream_ends_at=fields["stream_ends"],
            metadata=tuple(_from_json(*each) for each in fields["metadata"]),
            last_event_id=fields["last_event_id"],
        )


def _to_json(key: str, value: str | bytes) -> tuple[str, str, bool]:
    if isinstance(value, str):
        return key, value, False
    return key, b64encode(value).decode(), True


def _from_json(key: str, value: str, binary: bool) -> tuple[str, str | bytes]:  # noqa: FBT001 - of a list
    return key, b64decode(value) if binary else value


def _plain(value: object) -> object:
    """Returns what JSON has for a claim of another type."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"a claim is {type(value).__name__}, which is not JSON")
