"""A method as a stub registers it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from grpc_wire.headers.section import Headers

TIMEOUT: Final = b"grpc-timeout"


@dataclass(slots=True)
class ClientMethod:
    """What all calls of a method share, computed once."""

    path: str
    head: Headers
    """Headers of each request, `:path` among them."""
    head_size: int
    """Their size as SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113, 6.5.2)."""
    single_response: bool
    max_send: int
    max_receive: int
    serialize: Callable[[Any], bytes] | None
    deserialize: Callable[[bytes], Any] | None
    _timeout: bytes = field(init=False, compare=False)
    """`grpc-timeout` of the latest call that had one."""
    _timed_head: Headers = field(init=False, compare=False)
    """`head` with that; empty until two calls running had the same."""

    def __post_init__(self) -> None:
        self._timeout, self._timed_head = b"", ()

    def timed_head(self, timeout: bytes) -> Headers:
        """Returns `head` with a `grpc-timeout`: one object for calls running that have the same.

        Encoders know the block of a head by its identity. Where each call has another timeout, there is no
        such object, and the empty tuple is returned.
        """
        if timeout != self._timeout:
            self._timeout, self._timed_head = timeout, ()
        elif not self._timed_head:
            self._timed_head = (*self.head, (TIMEOUT, timeout))
        return self._timed_head
