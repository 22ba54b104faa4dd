"""Tickets in a store that several replicas share: one that replica A has given opens a stream at B, once.

`SET NX` keeps a ticket with its expiry, and `GETDEL` takes it out, so of any number of replicas one gets it.
What the store keeps is sealed with AES-GCM: who reads the store learns no identity, and who writes to it can
make no ticket. The key is of one ticket, made of the secret of all replicas and the ticket's random id.

Without an answer of the store no ticket is given or taken: nobody else can say that one was not used.

Source: NIST SP 800-38D.
"""

from __future__ import annotations

import time
from hashlib import sha256
from hmac import digest
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo

from gateway.admission.tickets.store import OpenTickets
from gateway.store.error import StoreError
from gateway.store.store import Store
from gateway.transcoding.status import UNAVAILABLE, StatusError

PURPOSE: Final = "tickets"
_NONCE: Final = bytes(12)
"""Each key seals one ticket."""
_RETRY_SECONDS: Final = 1


class SharedStore:
    """A `TicketStore` in a store that replicas share."""

    def __init__(
        self, store: Store, secret: bytes, *, max_open: int, max_open_per_caller: int
    ) -> None:
        """Takes the store, and the secret that all replicas have.

        Args:
            store: keeps the tickets.
            secret: what they are sealed with.
            max_open: tickets that this process has given and that have not expired.
            max_open_per_caller: the same for one caller.
        """
        self._store = store
        self._secret = sha256(b"protoway tickets\0" + secret).digest()
        self._open = OpenTickets(max_open=max_open, max_open_per_caller=max_open_per_caller)

    async def __aenter__(self) -> Self:
        """The store is opened by others."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """And closed by them."""

    async def put(self, key: str, value: bytes, *, expires_at: float, caller: str) -> None:
        """See `TicketStore`."""
        now = time.time()
        self._open.expire(now)
        self._open.check(caller)
        name = self._store.key("ticket", key)
        sealed = self._cipher(key).encrypt(_NONCE, value, None)
        milliseconds = max(1, round((expires_at - now) * 1000))
        try:
            kept = await self._store.run(
                PURPOSE, lambda client: client.set(name, sealed, px=milliseconds, nx=True)
            )
        except StoreError as error:
            raise _unavailable() from error
        if not kept:
            raise _unavailable()
        self._open.add(key, expires_at, caller)

    async def take(self, key: str) -> bytes | None:
        """See `TicketStore`."""
        name = self._store.key("ticket", key)
        try:
            sealed = await self._store.run(PURPOSE, lambda client: client.getdel(name))
        except StoreError as error:
            raise _unavailable() from error
        if sealed is None:
            return None
        try:
            return self._cipher(key).decrypt(_NONCE, sealed, None)
        except InvalidTag:
            return None

    def _cipher(self, key: str) -> AESGCM:
        return AESGCM(digest(self._secret, key.encode(), "sha256"))


def _unavailable() -> StatusError:
    retry = RetryInfo(retry_delay=Duration(seconds=_RETRY_SECONDS))
    text = "the store of tickets does not answer; ask for a new one later"
    return StatusError.of(UNAVAILABLE, text, retry)
