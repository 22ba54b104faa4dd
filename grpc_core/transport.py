"""The gRPC implementations of the server: `grpcio` or `grpc_wire`; both run the same servicers.

Rule: all differences between them are in `TRANSPORTS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import grpc.aio

import grpc_wire.credentials
import grpc_wire.server

TransportName: TypeAlias = Literal["grpcio", "wire"]


@dataclass(frozen=True, slots=True)
class Transport:
    """Functions that create a server and server credentials, with the signatures of grpc."""

    server: Callable[..., grpc.aio.Server]
    credentials: Callable[..., Any]


TRANSPORTS: Mapping[TransportName, Transport] = {
    "grpcio": Transport(grpc.aio.server, grpc.ssl_server_credentials),
    "wire": Transport(grpc_wire.server.server, grpc_wire.credentials.ssl_server_credentials),
}
