"""Metadata <-> HTTP/2 headers.

Source: gRPC over HTTP/2, "Custom-Metadata": keys of lower-case letters, digits, `_`, `-` and `.`; a key that
ends in `-bin` has bytes for its value, in base64 without padding on the wire (with padding is accepted too,
and several values joined by commas are several).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from grpc_wire.events import Headers

Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]


def to_headers(metadata: Iterable[tuple[str, str | bytes]]) -> Headers:
    """Returns metadata as headers.

    Raises:
        ValueError: a key or a value is not what gRPC allows (`grpc-` keys are gRPC's own), in words.
    """
    raise NotImplementedError


def from_headers(headers: Headers) -> Metadata:
    """Returns the metadata among headers: all but pseudo-headers and HTTP's and gRPC's own
    (`te`, `content-type`, `grpc-…` but for `grpc-trace-bin`, `grpc-tags-bin` …; `user-agent` is metadata, as it is with grpcio).
    """
    raise NotImplementedError
