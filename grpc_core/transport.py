"""Which gRPC serves: that of `grpcio`, or `grpc_wire`, which takes the same servicers.

Rule: whatever is different about them for the core stands in this table.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import grpc.aio

import grpc_wire.credentials
import grpc_wire.server

Name: TypeAlias = Literal["grpcio", "wire"]


@dataclass(frozen=True, slots=True)
class Transport:
    """Makers of a server, and of what it needs for TLS; their arguments are those of grpc."""

    server: Callable[..., grpc.aio.Server]
    credentials: Callable[..., Any]


TRANSPORTS: Mapping[Name, Transport] = {
    "grpcio": Transport(grpc.aio.server, grpc.ssl_server_credentials),
    "wire": Transport(grpc_wire.server.server, grpc_wire.credentials.ssl_server_credentials),
}
