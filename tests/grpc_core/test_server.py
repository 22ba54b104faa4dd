"""What the server answers besides the contract, and how it stops."""

import asyncio
import socket
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from grpc_core._generated.finance_pb2 import WatchRequest
from grpc_core.address import ListenError
from grpc_core.finance.rates import Snapshot
from grpc_core.rate_feed import RateFeed
from grpc_core.server import SERVICES, CoreServer
from grpc_core.settings import Settings
from grpc_core.transport import TransportName
from tests.grpc_core.loopback import Loopback, collect, each, health_stub, refusal


@pytest.mark.parametrize("service", ["", *SERVICES])
async def test_every_service_is_healthy(core: Loopback, service: str) -> None:
    """Health is told for the server as a whole and for each service."""
    reply = await health_stub(core.channel).Check(HealthCheckRequest(service=service))

    assert reply.status == HealthCheckResponse.SERVING


async def test_the_health_of_an_unknown_service_is_not_found(core: Loopback) -> None:
    """The answer of the health service itself comes through."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health_stub(core.channel).Check(HealthCheckRequest(service="no.Such"))

    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_knows_every_service(core: Loopback) -> None:
    """A client without the contract can ask for it."""
    questions = [
        ServerReflectionRequest(list_services=""),
        ServerReflectionRequest(file_containing_symbol="finance.CurrencyConverter"),
    ]

    stub: Any = ServerReflectionStub(core.channel)
    listed, file = await collect(stub.ServerReflectionInfo(each(questions)))

    names = {service.name for service in listed.list_services_response.service}
    assert names == set(SERVICES)
    assert file.file_descriptor_response.file_descriptor_proto


async def test_stopping_tells_the_health_and_ends_the_watchers(core: Loopback) -> None:
    """Who watches is told why the stream ends, long before the grace is over."""
    health = health_stub(core.channel).Watch(HealthCheckRequest())
    first = await health.read()
    rates = core.converter.WatchRates(WatchRequest(base_currency="USD", target_currencies=["EUR"]))
    await rates.read()

    stopping = asyncio.ensure_future(core.server.stop(60))
    second = await health.read()
    answer = await refusal(rates.read())
    health.cancel()
    async with asyncio.timeout(20):
        await stopping

    assert isinstance(first, HealthCheckResponse)
    assert isinstance(second, HealthCheckResponse)
    assert first.status == HealthCheckResponse.SERVING
    assert second.status == HealthCheckResponse.NOT_SERVING
    assert (answer.code, answer.message) == (
        grpc.StatusCode.UNAVAILABLE,
        "server is shutting down",
    )


async def test_a_message_has_a_largest_size(snapshot: Snapshot, transport: TransportName) -> None:
    """A message beyond the setting is refused by its size."""
    server = CoreServer(
        Settings(port=0, transport=transport, max_message_bytes=100), RateFeed(snapshot)
    )
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        call: Any = channel.unary_unary("/hello.Greeter/SayHello")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"x" * 101)
    await server.stop(None)

    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("127.0.0.1", "Address already in use"),
        ("0.0.0.0", "Address already in use"),
        ("192.0.2.1", "Cannot assign requested address"),
        ("no-such-host.invalid", "cannot listen on no-such-host.invalid"),
    ],
)
async def test_an_address_that_cannot_be_had_is_an_error(
    snapshot: Snapshot, transport: TransportName, host: str, reason: str
) -> None:
    """The error names the address and says why."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"cannot listen on {host}:{port}: ") as caught:
            CoreServer(Settings(host=host, port=port, transport=transport), RateFeed(snapshot))

    assert reason in str(caught.value)


@pytest.mark.parametrize("host", ["::1", "[::1]"])
async def test_an_ipv6_address_is_written_with_brackets(
    snapshot: Snapshot, transport: TransportName, host: str
) -> None:
    """An IPv6 host is taken with and without brackets, and told with them."""
    try:
        server = CoreServer(Settings(host=host, port=0, transport=transport), RateFeed(snapshot))
    except ListenError:
        pytest.skip("this machine has no IPv6")

    assert server.address.startswith("[::1]:")
