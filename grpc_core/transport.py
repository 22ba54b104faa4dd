"""The gRPC implementations of the server: `grpcio` or `grpc_wire`; both run the same servicers.

Rule: all differences between them are in `TRANSPORTS`.
"""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import grpc
import grpc.aio

import grpc_wire.server
from grpc_wire.renewal import Renewed, RenewedContext

TransportName: TypeAlias = Literal["grpcio", "wire"]


class Pair(NamedTuple):
    """A certificate with its key, checked, and the CAs of clients."""

    context: ssl.SSLContext
    key: bytes
    chain: bytes
    clients: bytes | None


@dataclass(frozen=True, slots=True)
class Transport:
    """Functions that create a server, with the signature of grpc, and credentials of a renewed pair."""

    server: Callable[..., grpc.aio.Server]
    credentials: Callable[[Renewed[Pair]], Any]


def _grpcio_credentials(renewed: Renewed[Pair]) -> Any:
    def configuration() -> Any:
        pair = renewed.current
        return grpc.ssl_server_certificate_configuration([(pair.key, pair.chain)], pair.clients)

    told = [renewed.current]

    def changed() -> Any:
        """Called for each handshake; None keeps the configuration."""
        if told[0] is renewed.current:
            return None
        told[0] = renewed.current
        return configuration()

    needs_client = renewed.current.clients is not None
    return grpc.dynamic_ssl_server_credentials(configuration(), changed, needs_client)


def _wire_credentials(renewed: Renewed[Pair]) -> Any:
    return RenewedContext(lambda: renewed.current.context)


TRANSPORTS: Mapping[TransportName, Transport] = {
    "grpcio": Transport(grpc.aio.server, _grpcio_credentials),
    "wire": Transport(grpc_wire.server.server, _wire_credentials),
}
