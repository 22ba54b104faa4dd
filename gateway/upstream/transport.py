"""Which gRPC carries the calls: that of `grpcio`, or `grpc_wire`, which has the same channels.

Rule: whatever is different about them for the edge stands in this table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import grpc
from grpc import aio

import grpc_wire.client
import grpc_wire.client.target
import grpc_wire.credentials
from gateway.upstream.target import fault_of
from grpc_wire.client.multicallable import UnaryUnaryMultiCallable
from grpc_wire.client.stream import ClientStream

Name: TypeAlias = Literal["grpcio", "wire"]


_ASSUMED_STREAMS: Final = 100
"""What a server is assumed to allow that does not say: no server should allow fewer (RFC 9113, 6.5.2)."""


class TargetError(Exception):
    """The address of the upstream cannot be one; the text says what to write."""


@dataclass(frozen=True, slots=True)
class Transport:
    """Makers of channels, and of what they need for TLS; their arguments are those of grpc."""

    insecure_channel: Callable[..., aio.Channel]
    secure_channel: Callable[..., aio.Channel]
    credentials: Callable[..., Any]
    ask: Callable[..., ClientStream] | None
    """Begins a call by a multicallable, and tells of its end; None where that must be waited for."""
    watch: Callable[[Any, Callable[[], object]], Callable[[], object]]
    """Calls a function whenever the state of a channel, or what it takes, has changed; returns its end."""
    max_streams: Callable[[Any], int]
    """Returns how many calls a channel that is READY takes at once."""
    read_target: Callable[[str], object] | None
    """Raises ValueError for a target that is none; None where that is found out by connecting."""
    call_bytes: int
    """Bytes of memory of a call that is open, without its messages; measured."""


def _watch_in_task(channel: aio.Channel, changed: Callable[[], object]) -> Callable[[], object]:
    async def watch() -> None:
        state = grpc.ChannelConnectivity.IDLE
        while True:
            await channel.wait_for_state_change(state)
            state = channel.get_state()
            changed()

    return asyncio.get_running_loop().create_task(watch()).cancel


def _watch(
    channel: grpc_wire.client.Channel, changed: Callable[[], object]
) -> Callable[[], object]:
    channel.watch(changed)
    return lambda: None


TRANSPORTS: Final[Mapping[Name, Transport]] = {
    "grpcio": Transport(
        aio.insecure_channel,
        aio.secure_channel,
        grpc.ssl_channel_credentials,
        ask=None,
        watch=_watch_in_task,
        max_streams=lambda _channel: _ASSUMED_STREAMS,
        read_target=None,
        call_bytes=36 * 1024,
    ),
    "wire": Transport(
        grpc_wire.client.insecure_channel,
        grpc_wire.client.secure_channel,
        grpc_wire.credentials.ssl_channel_credentials,
        ask=UnaryUnaryMultiCallable.start,
        watch=_watch,
        max_streams=lambda channel: int(channel.max_streams),
        read_target=grpc_wire.client.target.parse,
        call_bytes=12 * 1024,
    ),
}


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
