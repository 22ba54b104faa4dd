"""Decisions that hold for some seconds, by a digest of what the authorizer was told."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from secrets import token_bytes
from time import monotonic, time

from gateway.admission.authorizer.verdict import CheckedRequest, Verdict
from gateway.transcoding.metadata import TRACE_KEYS


class VerdictCache:
    """Remembers decisions; a key is a digest with a secret, so that no credential stays in memory."""

    def __init__(
        self, seconds: float, max_entries: int, clock: Callable[[], float] = monotonic
    ) -> None:
        """Makes an empty one.

        Args:
            seconds: for which a decision holds.
            max_entries: beyond them the oldest is dropped.
            clock: seconds that only grow.
        """
        self._seconds = seconds
        self._max_entries = max_entries
        self._clock = clock
        self._secret = token_bytes(32)
        self._entries: OrderedDict[bytes, tuple[float, Verdict]] = OrderedDict()

    def key(self, checked: CheckedRequest) -> bytes:
        """Returns the key of a request: equal ones differ only in what traces them."""
        digest = blake2b(key=self._secret, digest_size=16)
        parts = [
            *(checked.http_method, checked.path, checked.host, checked.scheme, checked.client),
            *(checked.rpc, checked.principal),
        ]
        for name, value in sorted(checked.headers.items()):
            if name not in TRACE_KEYS:
                parts += (name, value)
        for part in parts:
            data = part.encode("utf-8", "surrogateescape")
            digest.update(len(data).to_bytes(4, "big") + data)
        return digest.digest()

    def get(self, key: bytes) -> Verdict | None:
        """Returns the decision that holds; None: there is none."""
        found = self._entries.get(key)
        if found is None:
            return None
        until, verdict = found
        if until <= self._clock():
            del self._entries[key]
            return None
        return verdict

    def put(self, key: bytes, verdict: Verdict, expires_at: float | None) -> None:
        """Keeps a decision.

        Args:
            key: of the request.
            verdict: about it.
            expires_at: Unix time at which the credentials end; None: they do not.
        """
        seconds = self._seconds
        if expires_at is not None:
            seconds = min(seconds, expires_at - time())
        if seconds <= 0:
            return
        self._entries.pop(key, None)
        self._entries[key] = (self._clock() + seconds, verdict)
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)
