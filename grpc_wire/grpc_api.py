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
    """Returns the number of a status code; UNKNOWN for what is none."""
    if isinstance(code, grpc.StatusCode):
        number: int = code.value[0]
        return number
    return code if isinstance(code, int) and OK <= code <= _HIGHEST else UNKNOWN


def is_metadata(metadata: Any) -> bool:
    """Whether a value is pairs of str and str or bytes."""
    return not isinstance(metadata, (str, bytes)) and all(
        isinstance(pair, tuple)
        and len(pair) == 2
        and isinstance(pair[0], str)
        and isinstance(pair[1], (str, bytes))
        for pair in metadata
    )


def in_order(options: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Returns options in the order to apply them, where a later one overrides an earlier one.

    grpc has two limits of metadata, and refuses at random between them. Here the absolute one applies
    wherever it
    stands; `grpc.max_metadata_size` alone is one, too.
    """
    return sorted(options, key=lambda option: option[0] == _ABSOLUTE)
