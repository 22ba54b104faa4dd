"""The traces of the core, alone and behind an edge, as a receiver of OTLP gets them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import grpc
import grpc.aio
import httpx
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest

from grpc_core._generated.finance_pb2 import ConvertRequest, WatchRequest
from grpc_core._generated.hello_pb2 import HelloRequest
from grpc_core._generated.hello_pb2_grpc import GreeterStub
from grpc_core.finance import reference
from grpc_core.rate_feed import RateFeed
from grpc_core.server import CoreServer
from grpc_core.settings import Settings
from grpc_core.transport import TransportName
from tests.grpc_core.loopback import converter_stub, each, health_stub
from tests.operations.span_receiver import (
    CLIENT,
    ERROR,
    SERVER,
    SpanReceiver,
    events,
    plain,
    receiving,
)
from tests.whole.conftest import ROOT
from tests.whole.processes import core, edge

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = (("traceparent", f"00-{TRACE}-{CALLER}-01"),)
EUROS = ConvertRequest(from_currency="USD", to_currency="EUR", amount=1)
CONVERT = "finance.CurrencyConverter/Convert"


@pytest.fixture(autouse=True)
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[SpanReceiver]:
    """A receiver, to which the variables point; what this environment says else is unset."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    with receiving() as made:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
        yield made


@pytest.mark.parametrize("transport", ["wire", "grpcio"])
async def test_each_call_has_a_span(transport: TransportName, receiver: SpanReceiver) -> None:
    """Below that of its caller, with its code; a stream with what it carried; a health check none."""
    settings = Settings(port=0, transport=transport, traces=True, access_log="off")
    server = CoreServer(settings, RateFeed(reference.load()))
    assert server.tracing is not None
    async with server.tracing:
        await server.start()
        async with grpc.aio.insecure_channel(server.address) as channel:
            converter, greeter = converter_stub(channel), GreeterStub(channel)  # type: ignore[no-untyped-call]  # generated code has no types
            await converter.Convert(EUROS, metadata=PARENT)
            assert [reply.rate async for reply in converter.LiveConvert(each([EUROS] * 3))]
            with pytest.raises(grpc.aio.AioRpcError):
                await greeter.SayHello(HelloRequest())
            await health_stub(channel).Check(HealthCheckRequest())
            watching = converter.WatchRates(
                WatchRequest(base_currency="USD", target_currencies=["EUR"])
            )
            await watching.read()
            await server.stop(1)

    found = {each.name.rpartition("/")[2]: each for each in receiver.spans}
    assert sorted(found) == ["Convert", "LiveConvert", "SayHello", "WatchRates"]
    assert len(receiver.spans) == len(found)
    assert receiver.resource["service.name"] == "core"
    convert = receiver.one(SERVER, CONVERT)
    assert (convert.trace_id.hex(), convert.parent_span_id.hex()) == (TRACE, CALLER)
    assert plain(convert.attributes) == {
        "rpc.system": "grpc",
        "rpc.service": "finance.CurrencyConverter",
        "rpc.method": "Convert",
        "rpc.grpc.status_code": 0,
    }
    assert not found["LiveConvert"].parent_span_id
    counts = {"protoway.messages_in": 3, "protoway.messages_out": 3}
    assert events(found["LiveConvert"]) == [("stream.end", counts)]
    codes = {name: plain(each.attributes)["rpc.grpc.status_code"] for name, each in found.items()}
    assert codes == {"Convert": 0, "LiveConvert": 0, "SayHello": 3, "WatchRates": 14}
    errors = [name for name, each in found.items() if each.status.code == ERROR]
    assert errors == ["WatchRates"]  # that a server ends it is no fault of the caller's


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_request_is_one_trace_through_edge_and_core(
    receiver: SpanReceiver, workers: str
) -> None:
    """Caller, request, call, server: each is the parent of the next; a stop sends the last spans."""
    async with (
        core(traces="true", workers=workers) as running,
        edge(running.address, traces="true", workers=workers) as served,
        httpx.AsyncClient() as client,
    ):
        url = f"{served.http}/convert?fromCurrency=USD&toCurrency=EUR&amount=1"
        assert (await client.get(url, headers=dict(PARENT))).status_code == 200

    request, call = receiver.one(SERVER, "GET /convert"), receiver.one(CLIENT, CONVERT)
    served_by_core = receiver.one(SERVER, CONVERT)
    assert [each.trace_id.hex() for each in receiver.spans] == [TRACE] * 3
    assert request.parent_span_id.hex() == CALLER
    assert call.parent_span_id == request.span_id
    assert served_by_core.parent_span_id == call.span_id


def test_a_variable_that_cannot_be_obeyed_stops_the_start() -> None:
    """With one line that names it, also where workers would be forked."""
    environment = os.environ | {"CORE_TRACES": "true", "OTEL_TRACES_EXPORTER": "zipkin"}
    command = [sys.executable, "-m", "grpc_core", "--port", "0", "--workers", "2"]

    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )

    assert ended.returncode == 1
    assert ended.stderr == "core: OTEL_TRACES_EXPORTER: 'zipkin' is none of otlp, console, none\n"
