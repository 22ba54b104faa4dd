"""The port of one kind of credentials: a token, an API key, a ticket, a client certificate.

Rule: an authenticator says who calls, never whether that caller may.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

from gateway.admission.authentication.watched_file import WatchedFile
from gateway.admission.identity import Identity
from gateway.exchange.request_info import RequestInfo


class Authenticator(Protocol):
    """Finds and verifies one kind of credentials."""

    @property
    def challenge(self) -> str:
        """`WWW-Authenticate` that asks for these credentials; empty: no client can be asked for them."""
        ...

    @property
    def files(self) -> Sequence[WatchedFile]:
        """The files of keys that it watches."""
        ...

    @property
    def reserved_metadata(self) -> frozenset[str]:
        """Lower-case metadata keys that no client may set, whoever it is.

        They are taken out of what each client sends, also out of requests without credentials, so that a
        server may trust these keys.
        """
        ...

    def authenticate(self, request: RequestInfo) -> Identity | Awaitable[Identity | None] | None:
        """Returns who calls; None if the request has no credentials of this kind.

        It may add to `request.metadata`, set `request.expires_at`, and take its parameter out of the query.
        It does not set `request.identity`: the policy `Authentication` does. It is not asked about
        preflights, nor once another authenticator has found an identity.

        Returns:
            The identity or None; an awaitable of them only where there is something to wait for.

        Raises:
            StatusError: UNAUTHENTICATED, the credentials are wrong (`rejection` makes it, with its
                challenge); INVALID_ARGUMENT, they came in a way that is not allowed; PERMISSION_DENIED, a
                page of a foreign origin sent them; UNAVAILABLE, they cannot be verified now. The awaitable
                may raise it too.
        """
        ...
