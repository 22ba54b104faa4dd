"""The headers of a request, parsed in one pass."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from gateway.transcoding import deadline
from gateway.transcoding.event_ids import MAX_ID_BYTES, UNKNOWN_ID
from gateway.transcoding.metadata import PREFIX, MetadataFilter, metadata_value
from gateway.transcoding.negotiation import is_json
from gateway.transcoding.status import bad_request
from gateway.transcoding.violations import MAX_STEP, quoted, truncated

REQUEST_ID: Final = b"x-request-id"
_MAX_CACHED: Final = 1024
"""Maximum characters of a value that `negotiation` caches."""
_REQUEST_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
"""A request id that is valid in a header, in metadata and in a log line."""


@dataclass(slots=True)
class RequestHead:
    """The headers that the edge interprets, and the metadata to forward."""

    accept: str = ""
    accept_encoding: str = ""
    content_type: str = ""
    """Media type with parameters, unchanged."""
    is_json: bool = False
    """Whether that is JSON in UTF-8."""
    content_encoding: str = ""
    content_length: int | None = None
    timeout: float | None = None
    """Seconds: the shortest of `grpc-timeout`, `connect-timeout-ms` and `x-server-timeout`; None: none."""
    origin: str = ""
    """Several values are joined by commas."""
    host: str = ""
    last_event_id: str = ""
    names_connect: bool = False
    """Whether it names a version of Connect, and so is no REST where the path is a method's."""
    request_id: str = ""
    """The caller's request id; empty if it is missing or invalid."""
    metadata: list[tuple[str, str | bytes]] = field(default_factory=list)
    """Request metadata to forward."""

    def assign_id(self, request_id: str, allowed: MetadataFilter) -> None:
        """Assigns a request id, and adds it to the metadata if `x-request-id` is forwarded."""
        self.request_id = request_id
        if REQUEST_ID in allowed.request:
            self.metadata.append((allowed.request[REQUEST_ID], request_id))

    def override(self, later: RequestHead) -> None:
        """Adds the metadata of another head; they replace those with the same keys."""
        keys = {key for key, _ in later.metadata}
        self.metadata = [pair for pair in self.metadata if pair[0] not in keys]
        self.metadata += later.metadata


class _Ignored(Exception):
    """A header is ignored."""


def read_head(
    headers: Iterable[tuple[bytes, bytes]], allowed: MetadataFilter, head: RequestHead
) -> None:
    """Parses headers with lower-case names, as in ASGI, into `head`.

    An invalid request id is ignored, and not forwarded.

    Raises:
        StatusError: INVALID_ARGUMENT with a violation per invalid header. All valid headers are parsed
            before.
    """
    violations: list[tuple[str, str]] = []
    passing = allowed.request
    for name, value in headers:
        try:
            read = READERS.get(name)
            if read is not None:
                read(head, value.decode("latin-1"))
            if name in passing or name.startswith(PREFIX):
                key = allowed.metadata_key(name)
                if key is not None:
                    head.metadata.append((key, metadata_value(key, value)))
        except _Ignored:
            continue
        except ValueError as error:
            violations.append((truncated(name.decode("latin-1"), MAX_STEP), str(error)))
    if violations:
        raise bad_request(violations)


def _limited(value: str) -> str:
    """Returns a value of at most `_MAX_CACHED` characters; raises ValueError for a longer one."""
    if len(value) > _MAX_CACHED:
        raise ValueError(f"longer than {_MAX_CACHED} characters")
    return value


def _read_accept(head: RequestHead, value: str) -> None:
    head.accept = _limited(f"{head.accept}, {value}" if head.accept else value)


def _read_accept_encoding(head: RequestHead, value: str) -> None:
    both = f"{head.accept_encoding}, {value}" if head.accept_encoding else value
    if len(both) <= _MAX_CACHED:  # a response without a coding is always acceptable
        head.accept_encoding = both


def _read_content_type(head: RequestHead, value: str) -> None:
    head.content_type = _limited(value)
    head.is_json = is_json(value)


def _read_content_encoding(head: RequestHead, value: str) -> None:
    head.content_encoding = _limited(
        f"{head.content_encoding}, {value}" if head.content_encoding else value
    )


def is_request_id(text: str) -> bool:
    """Returns whether a request id can travel on: 1 to 128 visible characters of ASCII."""
    return _REQUEST_ID.fullmatch(text) is not None


def _read_request_id(head: RequestHead, value: str) -> None:
    if not is_request_id(value):
        raise _Ignored
    head.request_id = value


def _read_content_length(head: RequestHead, value: str) -> None:
    if not value.isascii() or not value.isdigit():
        raise ValueError(f"expected a number of bytes, got {quoted(value)}")
    head.content_length = int(value)


def _read_grpc_timeout(head: RequestHead, value: str) -> None:
    _shorten(head, deadline.read_grpc_timeout(value))


def _read_server_timeout(head: RequestHead, value: str) -> None:
    _shorten(head, deadline.read_server_timeout(value))


def _read_connect_timeout(head: RequestHead, value: str) -> None:
    _shorten(head, deadline.read_connect_timeout(value))


def _read_connect_version(head: RequestHead, _value: str) -> None:
    head.names_connect = True


def _shorten(head: RequestHead, timeout: float) -> None:
    head.timeout = timeout if head.timeout is None else min(head.timeout, timeout)


def _read_last_event_id(head: RequestHead, value: str) -> None:
    # UTF-8 (HTML Living Standard, "The Last-Event-ID header"). An invalid id is not an error: a browser that
    # gets an error does not reconnect.
    try:
        event_id = value.encode("latin-1").decode() if len(value) <= MAX_ID_BYTES else UNKNOWN_ID
    except UnicodeDecodeError:
        event_id = UNKNOWN_ID
    head.last_event_id = event_id


def _read_origin(head: RequestHead, value: str) -> None:
    # more than one is no origin (RFC 6454, 7.3); joined they are equal to none
    head.origin = f"{head.origin}, {value}" if head.origin else value


def _read_host(head: RequestHead, value: str) -> None:
    if head.host:
        raise ValueError("given more than once")  # RFC 9112, 3.2
    head.host = value


READERS: Final = {
    b"accept": _read_accept,
    b"accept-encoding": _read_accept_encoding,
    b"content-type": _read_content_type,
    b"content-encoding": _read_content_encoding,
    REQUEST_ID: _read_request_id,
    b"content-length": _read_content_length,
    b"grpc-timeout": _read_grpc_timeout,
    b"connect-protocol-version": _read_connect_version,
    b"connect-timeout-ms": _read_connect_timeout,
    b"x-server-timeout": _read_server_timeout,
    b"last-event-id": _read_last_event_id,
    b"origin": _read_origin,
    b"host": _read_host,
}
"""What reads the value of each header that the edge itself understands, by its lower-case name."""
