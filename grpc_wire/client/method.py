"""A method, as a stub registers it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from grpc_wire.headers.section import Headers


@dataclass(frozen=True, slots=True)
class Method:
    """What all calls of a method have in common, made when the method is registered."""

    path: str
    head: Headers
    """Headers of each request; `:path` among them."""
    head_size: int
    """Its size, as limits count it (RFC 9113, 6.5.2)."""
    one_response: bool
    max_send: int
    max_receive: int
    serialize: Callable[[Any], bytes] | None
    deserialize: Callable[[bytes], Any] | None
