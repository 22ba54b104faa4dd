"""A method as a stub registers it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from grpc_wire.call.response import ResponseHead, read_response_headers
from grpc_wire.call.timeout import print_timeout
from grpc_wire.headers.section import FIELD_OVERHEAD, Headers

_TIMEOUT: Final = b"grpc-timeout"


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
    timeout_size: int = field(init=False, compare=False)
    """Size of the `grpc-timeout` of the latest call that had one."""
    _timeout: tuple[bytes, bytes] = field(init=False, compare=False)
    """That field."""
    _above: float = field(init=False, compare=False)
    _up_to: float = field(init=False, compare=False)
    """The timeouts that are the same as a field."""
    _timed_head: Headers = field(init=False, compare=False)
    """`head` with that field; empty until two calls running had it."""
    _response: Headers | None = field(init=False, compare=False)
    """Headers of the latest response; a decoder has one object for those that are equal."""
    _response_head: ResponseHead = field(init=False, compare=False)
    """What they say."""

    def __post_init__(self) -> None:
        self._above = self._up_to = 0.0
        self._timed_head, self._response = (), None

    def with_timeout(self, seconds: float, headers: Headers) -> tuple[Headers, Headers]:
        """Returns the head of a call that has a timeout, and its other headers; one of them has the timeout.

        Calls running with the same have one object for a head, whose block encoders know by its identity.
        """
        if not self._above < seconds <= self._up_to:
            text, self._above, self._up_to = print_timeout(seconds)
            self._timeout, self._timed_head = (_TIMEOUT, text), ()
            self.timeout_size = FIELD_OVERHEAD + len(_TIMEOUT) + len(text)
            return self.head, (*headers, self._timeout)
        if not self._timed_head:
            self._timed_head = (*self.head, self._timeout)
        return self._timed_head, headers

    def read_response(self, headers: Headers) -> ResponseHead:
        """Returns what the headers of a response say; to find them by value costs ten times as much."""
        if headers is not self._response:
            self._response_head = read_response_headers(headers)
            self._response = headers
        return self._response_head
