"""What the headers of a request say, read in one pass."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from gateway.transcoding import deadline
from gateway.transcoding.event_ids import MAX_ID_BYTES, UNKNOWN_ID
from gateway.transcoding.metadata import PREFIX, MetadataFilter, metadata_value
from gateway.transcoding.status import bad_request
from gateway.transcoding.violations import MAX_STEP, quoted, truncated

REQUEST_ID: Final = b"x-request-id"
_MAX_KEPT: Final = 1024
_REQUEST_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
"""What travels unchanged in a header, in metadata and in a line of a log."""


@dataclass(slots=True)
class RequestHead:
    """The headers that the edge itself understands, and the metadata for upstream."""

    accept: str = ""
    accept_encoding: str = ""
    content_type: str = ""
    """The media type with its parameters, as it came."""
    content_encoding: str = ""
    content_length: int | None = None
    timeout: float | None = None
    """Seconds, from `grpc-timeout` or `x-server-timeout`; of both, the shorter."""
    origin: str = ""
    host: str = ""
    last_event_id: str = ""
    request_id: str = ""
    """The caller's; empty if it gave none, or one that cannot travel."""
    metadata: list[tuple[str, str | bytes]] = field(default_factory=list)

    def assign_id(self, request_id: str, allowed: MetadataFilter) -> None:
        """Gives a request that came without a usable one an id, for upstream too if that may know it."""
        self.request_id = request_id
        if REQUEST_ID in allowed.request:
            self.metadata.append((allowed.request[REQUEST_ID], request_id))

    def override(self, later: RequestHead) -> None:
        """Adds metadata that the caller says later; a key that is said anew is replaced."""
        said = {key for key, _ in later.metadata}
        self.metadata = [pair for pair in self.metadata if pair[0] not in said]
        self.metadata += later.metadata


class _Ignored(Exception):
    """A header is read as if it had not come."""


def read_head(
    headers: Iterable[tuple[bytes, bytes]], allowed: MetadataFilter, head: RequestHead
) -> None:
    """Reads headers whose names are in lower case, as ASGI gives them, into `head`.

    A request id that cannot travel on is passed over, and is no metadata either.

    Raises:
        StatusError: INVALID_ARGUMENT that lists the headers which make no sense; the others are read.
    """
    violations: list[tuple[str, str]] = []
    passing = allowed.request
    for name, value in headers:
        try:
            read = _READERS.get(name)
            if read is not None:
                read(head, value.decode("latin-1"))
            if name in passing or name.startswith(PREFIX):
                key = allowed.metadata_key(name) or ""
                head.metadata.append((key, metadata_value(key, value)))
        except _Ignored:
            continue
        except ValueError as error:
            violations.append((truncated(name.decode("latin-1"), MAX_STEP), str(error)))
    if violations:
        raise bad_request(violations)


def _kept(value: str) -> str:
    """Refuses a value too long to be kept with what it means (see `negotiation`)."""
    if len(value) > _MAX_KEPT:
        raise ValueError(f"longer than {_MAX_KEPT} characters")
    return value


def _read_accept(head: RequestHead, value: str) -> None:
    head.accept = _kept(f"{head.accept}, {value}" if head.accept else value)


def _read_accept_encoding(head: RequestHead, value: str) -> None:
    both = f"{head.accept_encoding}, {value}" if head.accept_encoding else value
    if len(both) <= _MAX_KEPT:  # an answer without a coding is always an answer
        head.accept_encoding = both


def _read_content_type(head: RequestHead, value: str) -> None:
    head.content_type = _kept(value)


def _read_content_encoding(head: RequestHead, value: str) -> None:
    head.content_encoding = _kept(
        f"{head.content_encoding}, {value}" if head.content_encoding else value
    )


def _read_request_id(head: RequestHead, value: str) -> None:
    if not _REQUEST_ID.fullmatch(value):
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


def _shorten(head: RequestHead, timeout: float) -> None:
    head.timeout = timeout if head.timeout is None else min(head.timeout, timeout)


def _read_last_event_id(head: RequestHead, value: str) -> None:
    # a browser says it in UTF-8 (HTML Living Standard, "The Last-Event-ID header"); it takes an error for
    # the end, so what was given out by nobody here is not refused
    try:
        known = value.encode("latin-1").decode() if len(value) <= MAX_ID_BYTES else UNKNOWN_ID
    except UnicodeDecodeError:
        known = UNKNOWN_ID
    head.last_event_id = known


def _read_origin(head: RequestHead, value: str) -> None:
    head.origin = value


def _read_host(head: RequestHead, value: str) -> None:
    if head.host:
        raise ValueError("given more than once")  # RFC 9112, 3.2
    head.host = value


_READERS = {
    b"accept": _read_accept,
    b"accept-encoding": _read_accept_encoding,
    b"content-type": _read_content_type,
    b"content-encoding": _read_content_encoding,
    REQUEST_ID: _read_request_id,
    b"content-length": _read_content_length,
    b"grpc-timeout": _read_grpc_timeout,
    b"x-server-timeout": _read_server_timeout,
    b"last-event-id": _read_last_event_id,
    b"origin": _read_origin,
    b"host": _read_host,
}
