"""How a call ends: `grpc-status`, `grpc-message`, and what stands for them where they are missing.

Sources: gRPC over HTTP/2, "Responses" and "Errors"; gRPC's http-grpc-status-mapping.md.
"""

from __future__ import annotations

from typing import NamedTuple

from grpc_wire.events import Headers
from grpc_wire.metadata import Metadata


class Status(NamedTuple):
    """The end of a call; `code` is an int of google.rpc.Code."""

    code: int
    message: str = ""
    trailing: Metadata = ()


def to_trailers(status: Status) -> Headers:
    """Returns the trailers of a status, the message percent-encoded."""
    raise NotImplementedError


def from_trailers(headers: Headers) -> Status:
    """Reads trailers; trailers without a readable `grpc-status` are UNKNOWN."""
    raise NotImplementedError


def from_answer(headers: Headers) -> Status | None:
    """Checks the head of an answer: None if it is one of gRPC; else the status that its HTTP status or
    content-type stands for (http-grpc-status-mapping.md)."""
    raise NotImplementedError


def from_reset(code: int, reason: str = "") -> Status:
    """Returns the status of a stream that was reset (gRPC over HTTP/2, "Errors")."""
    raise NotImplementedError


def to_reset(code: int) -> int:
    """Returns the HTTP/2 error code with which a call is given up for this status (CANCEL for most)."""
    raise NotImplementedError
