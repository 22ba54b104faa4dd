"""Connections that end for their age, so that clients look the name of the core up again."""

import asyncio

import grpc

from grpc_core._generated.hello_pb2 import HelloRequest
from grpc_core.finance.rates import Snapshot
from grpc_core.rate_feed import RateFeed
from grpc_core.transport import TransportName
from tests.grpc_core.loopback import loopback

READY = grpc.ChannelConnectivity.READY


async def test_a_connection_ends_for_its_age(snapshot: Snapshot, transport: TransportName) -> None:
    """The client is told to go, and its next call is answered over another connection."""
    async with loopback(RateFeed(snapshot), transport, max_connection_age=1) as core:
        await core.greeter.SayHello(HelloRequest(name="before"))
        assert core.channel.get_state() is READY
        async with asyncio.timeout(30):
            await core.channel.wait_for_state_change(READY)

        assert (await core.greeter.SayHello(HelloRequest(name="after"))).message
