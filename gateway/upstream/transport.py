"""Which gRPC carries the calls: that of `grpcio`, or `grpc_wire`, which has the same channels.

Rule: whatever is different about them for the edge stands in this table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import grpc
from grpc import aio

import grpc_wire.channel
import grpc_wire.credentials
import grpc_wire.target
from grpc_wire.client_stream import ClientStream
from grpc_wire.multicallable import UnaryUnaryMultiCallable

Name: TypeAlias = Literal["grpcio", "wire"]


class TargetError(Exception):
    """The address of the upstream is none that its transport knows."""


@dataclass(frozen=True, slots=True)
class Transport:
    """Makers of channels, and of what they need for TLS; their arguments are those of grpc."""

    insecure_channel: Callable[..., aio.Channel]
    secure_channel: Callable[..., aio.Channel]
    credentials: Callable[..., Any]
    ask: Callable[..., ClientStream] | None
    """Begins a call by a multicallable, and tells of its end; None where that must be waited for."""
    read_target: Callable[[str], object] | None
    """Raises ValueError for a target that is none; None where that is found out by connecting."""


TRANSPORTS: Final[Mapping[Name, Transport]] = {
    "grpcio": Transport(
        aio.insecure_channel,
        aio.secure_channel,
        grpc.ssl_channel_credentials,
        ask=None,
        read_target=None,
    ),
    "wire": Transport(
        grpc_wire.channel.insecure_channel,
        grpc_wire.channel.secure_channel,
        grpc_wire.credentials.ssl_channel_credentials,
        ask=UnaryUnaryMultiCallable.ask,
        read_target=grpc_wire.target.parse,
    ),
}


def check_target(transport: Name, target: str) -> None:
    """Looks at the address of an upstream.

    Raises:
        TargetError: the transport does not know what it is.
    """
    read = TRANSPORTS[transport].read_target
    if read is None:
        return
    try:
        read(target)
    except ValueError as error:
        raise TargetError(f"upstream: {error}; the transport grpcio knows more names") from error
