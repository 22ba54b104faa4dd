"""The transports: the upstream over grpcio, or over `grpc_wire`.

Rule: a choice by the name of the transport is made in this table, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import grpc
import grpc.aio

import grpc_wire.client
import grpc_wire.client.target
import grpc_wire.credentials
from gateway.upstream.grpcio import GrpcioUpstream
from gateway.upstream.options import UpstreamOptions
from gateway.upstream.port import Upstream
from gateway.upstream.target import fault_of
from gateway.upstream.wire import WireUpstream

Name: TypeAlias = Literal["grpcio", "wire"]


class TargetError(Exception):
    """An upstream is set wrong, as its address; the text says where, and what to write."""


@dataclass(frozen=True, slots=True)
class Transport:
    """What differs between the transports for the rest of the edge."""

    upstream: Callable[[UpstreamOptions], Upstream]
    credentials: Callable[..., Any]
    """Makes credentials for TLS; the arguments are those of `grpc.ssl_channel_credentials`."""
    channel: Callable[[str, Any, Any], Any]
    """Makes a channel with the API of `grpc.aio`, of target, credentials (None: no TLS) and options."""
    read_target: Callable[[str], object] | None
    """Raises ValueError for an invalid target; None: only an attempt to connect shows it."""
    call_bytes: int
    """Bytes of memory of an open call, without its messages; measured."""


def _grpcio_channel(target: str, credentials: Any, options: Any) -> Any:
    if credentials is None:
        return grpc.aio.insecure_channel(target, options)
    return grpc.aio.secure_channel(target, credentials, options)


def _wire_channel(target: str, credentials: Any, options: Any) -> Any:
    if credentials is None:
        return grpc_wire.client.insecure_channel(target, options)
    return grpc_wire.client.secure_channel(target, credentials, options)


TRANSPORTS: Final[Mapping[Name, Transport]] = {
    "grpcio": Transport(
        GrpcioUpstream,
        grpc.ssl_channel_credentials,
        _grpcio_channel,
        read_target=None,
        call_bytes=36 * 1024,
    ),
    "wire": Transport(
        WireUpstream,
        grpc_wire.credentials.ssl_channel_credentials,
        _wire_channel,
        read_target=grpc_wire.client.target.parse,
        call_bytes=12 * 1024,
    ),
}


def make_upstream(transport: Name, options: UpstreamOptions) -> Upstream:
    """Makes the upstream of a transport; nothing connects before the first call.

    Raises:
        TargetError: the target is a URL, has no port, or is no name that the transport knows.
    """
    check_target(transport, options.target)
    return TRANSPORTS[transport].upstream(options)


def check_target(transport: Name, target: str) -> None:
    """Checks the address of an upstream.

    Raises:
        TargetError: it is a URL, has no port, or is no name that the transport knows.
    """
    if fault := fault_of(target):
        raise TargetError(f"upstream: {fault}")
    read = TRANSPORTS[transport].read_target
    if read is None:
        return
    try:
        read(target)
    except ValueError as error:
        raise TargetError(f"upstream: {error}; the transport grpcio knows more names") from error
