"""How the tests of connections call: a channel that is quick, and a peer that answers."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from grpc import ChannelConnectivity

from grpc_wire.client import Channel, insecure_channel
from tests.wire.client.peer import Peer, Wire, running

QUICK = (
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 2000),
)


def answer(wire: Wire, stream: int) -> None:
    """Answers at once."""
    wire.answer(stream)


def unary(channel: Channel) -> Any:
    """Returns a multicallable."""
    return channel.unary_unary("/a/b")


def ready(channel: Channel) -> int:
    """Returns how many of a channel's addresses are ready."""
    subchannels = channel._open()._subchannels.values()
    return sum(one.state is ChannelConnectivity.READY for one in subchannels)


def free_port() -> int:
    """Returns a port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def peer_and_channel(
    peer: Peer, *options: tuple[str, Any]
) -> AsyncIterator[tuple[Peer, Channel]]:
    """Lets a peer run, and opens a channel to it."""
    async with running(peer), insecure_channel(peer.target, (*QUICK, *options)) as channel:
        yield peer, channel
