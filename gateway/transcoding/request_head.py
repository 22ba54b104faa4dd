"""What the headers of a request say, read in one pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.transcoding import deadline
from gateway.transcoding.metadata import MetadataFilter, metadata_value
from gateway.transcoding.status import bad_request


@dataclass(slots=True)
class RequestHead:
    """The headers that the edge itself understands, and the metadata for upstream."""

    accept: str = ""
    content_type: str = ""
    content_length: int | None = None
    timeout: float | None = None
    """Seconds, from `grpc-timeout` or `x-server-timeout`."""
    origin: str = ""
    host: str = ""
    metadata: list[tuple[str, str | bytes]] = field(default_factory=list)


def read_head(headers: Iterable[tuple[bytes, bytes]], allowed: MetadataFilter) -> RequestHead:
    """Reads headers whose names are in lower case, as ASGI gives them.

    Raises:
        StatusError: INVALID_ARGUMENT that lists the headers which make no sense.
    """
    head = RequestHead()
    violations: list[tuple[str, str]] = []
    for name, value in headers:
        try:
            read = _READERS.get(name)
            if read is not None:
                read(head, value.decode("latin-1"))
            key = allowed.metadata_key(name)
            if key is not None:
                head.metadata.append((key, metadata_value(key, value)))
        except ValueError as error:
            violations.append((name.decode("latin-1"), str(error)))
    if violations:
        raise bad_request(violations)
    return head


def _read_accept(head: RequestHead, value: str) -> None:
    head.accept = f"{head.accept}, {value}" if head.accept else value


def _read_content_type(head: RequestHead, value: str) -> None:
    head.content_type = value.partition(";")[0].strip().lower()


def _read_content_length(head: RequestHead, value: str) -> None:
    if not value.isascii() or not value.isdigit():
        raise ValueError(f"expected a number of bytes, got {value!r}")
    head.content_length = int(value)


def _read_grpc_timeout(head: RequestHead, value: str) -> None:
    head.timeout = deadline.read_grpc_timeout(value)


def _read_server_timeout(head: RequestHead, value: str) -> None:
    head.timeout = deadline.read_server_timeout(value)


def _read_origin(head: RequestHead, value: str) -> None:
    head.origin = value


def _read_host(head: RequestHead, value: str) -> None:
    head.host = value


_READERS = {
    b"accept": _read_accept,
    b"content-type": _read_content_type,
    b"content-length": _read_content_length,
    b"grpc-timeout": _read_grpc_timeout,
    b"x-server-timeout": _read_server_timeout,
    b"origin": _read_origin,
    b"host": _read_host,
}
