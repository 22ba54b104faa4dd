"""Values of grpc's Python API in the terms of the protocol: compression, codes, metadata, options."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import grpc

from grpc_wire.call.message import DEFLATE, GZIP, IDENTITY
from grpc_wire.call.metadata import from_headers
from grpc_wire.call.status import OK, UNKNOWN
from grpc_wire.headers.section import Headers

ENCODINGS: Final = {
    grpc.Compression.NoCompression: IDENTITY,
    grpc.Compression.Deflate: DEFLATE,
    grpc.Compression.Gzip: GZIP,
}
NEVER: Final = 2**31 - 1
"""Milliseconds that grpc's options take for infinite."""
_ABSOLUTE: Final = "grpc.absolute_max_metadata_size"
_HIGHEST: Final = 16


class Metadatum(NamedTuple):
    """One pair of metadata."""

    key: str
    value: str | bytes


def metadata_of(headers: Headers) -> tuple[Metadatum, ...]:
    """Returns the metadata among headers, as servicers and interceptors see them."""
    return tuple([Metadatum(*pair) for pair in from_headers(headers)])


def code_number(code: Any) -> int:
    """Returns the number of a code; what is none counts as UNKNOWN."""
    if isinstance(code, grpc.StatusCode):
        number: int = code.value[0]
        return number
    return code if isinstance(code, int) and OK <= code <= _HIGHEST else UNKNOWN


def is_metadata(metadata: Any) -> bool:
    """Whether something is pairs of text, or of text and bytes."""
    return not isinstance(metadata, (str, bytes)) and all(
        isinstance(pair, tuple)
        and len(pair) == 2
        and isinstance(pair[0], str)
        and isinstance(pair[1], (str, bytes))
        for pair in metadata
    )


def in_order(options: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Returns options in the order in which they are to be read: the last that sets a limit holds.

    grpc has two limits of metadata, between which it refuses at random. Here the absolute one holds, wherever
    it stands; `grpc.max_metadata_size` alone is one too.
    """
    return sorted(options, key=lambda option: option[0] == _ABSOLUTE)
