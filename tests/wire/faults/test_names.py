"""Names that cannot be resolved, for a while or for ever."""

from __future__ import annotations

import asyncio
import socket

import grpc
import pytest
from grpc import aio

from grpc_wire.client import secure_channel
from grpc_wire.client.target import Address
from grpc_wire.credentials import ssl_channel_credentials
from tests.wire.faults.scene import calling, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_resolver_that_fails_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls fail while it does, those that wait for ready wait; both work when it is back.

    A failure is tried again after the backoff, not after the time that lies between two resolutions
    (30 s): gRPC's name resolution has it so.
    """
    broken = True
    async with serving() as (_, address):
        port = int(address.split(":")[1])

        async def resolve(_name: Address) -> tuple[Address, ...]:
            if broken:
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
            return (Address("ipv4", "127.0.0.1", port),)

        monkeypatch.setattr("grpc_wire.client.balancer.resolve", resolve)
        async with calling("sometimes.example:1") as client:
            waiting = client.echo(wait_for_ready=True)
            for _ in range(3):
                with pytest.raises(aio.AioRpcError) as caught:
                    await client.echo(timeout=5)
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert not waiting.done()
            broken = False
            async with asyncio.timeout(5):
                assert await waiting == b"hi"
                assert await client.echo() == b"hi"


@pytest.mark.parametrize("name", ["a" * 64 + ".example", "a..b"])
async def test_a_name_that_cannot_be_one(name: str) -> None:
    """What no resolver can be asked is UNAVAILABLE, as a name that nobody has."""
    async with calling(f"dns:///{name}:1") as client:
        with pytest.raises(aio.AioRpcError) as caught:
            await client.echo(timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("name", [".leading.dot", "a" * 64, "a..b", "a\0b"])
async def test_a_name_for_tls_that_cannot_be_one(name: str) -> None:
    """An attempt that breaks off before the network fails as others do; nobody waits for it in vain."""
    options = [("grpc.ssl_target_name_override", name)]
    async with secure_channel("127.0.0.1:1", ssl_channel_credentials(), options) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await channel.unary_unary("/a/b")(b"", timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE
        assert "refused" not in (caught.value.details() or "")
