"""A method as a stub registers it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from grpc_wire.headers.section import Headers


@dataclass(frozen=True, slots=True)
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
