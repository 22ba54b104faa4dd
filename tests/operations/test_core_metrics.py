"""The metrics of the core: each series moves when what it counts happens; one worker and two."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest
from cryptography import x509
from grpc_health.v1.health_pb2 import HealthCheckRequest

from grpc_core._generated.finance_pb2 import ConvertRequest, WatchRequest
from grpc_core._generated.hello_pb2 import HelloRequest
from grpc_core._generated.hello_pb2_grpc import GreeterStub
from grpc_core.finance import reference
from grpc_core.metrics import SERIES, Metrics
from grpc_core.rate_feed import RateFeed
from grpc_core.server import CoreServer
from grpc_core.settings import Settings
from grpc_core.transport import TransportName
from server_process.exposition import render
from tests.grpc_core.loopback import converter_stub, each, health_stub
from tests.operations.scrapes import Scrape, check, parse, promtool, total
from tests.whole.certificates import made
from tests.whole.conftest import ROOT, free_ports
from tests.whole.processes import core
from tests.worker_processes import workers_of

PAGE = (ROOT / "docs/reference/operations.md").read_text()
HANDLED = "grpc_server_handled_total"
EUROS = ConvertRequest(from_currency="USD", to_currency="EUR", amount=1)
PROMPTLY = 20


@asynccontextmanager
async def counting(transport: TransportName = "wire") -> AsyncIterator[tuple[Metrics, Any]]:
    """Runs a core that counts; gives what it counts, and a channel."""
    settings = Settings(port=0, transport=transport, metrics_port=0)
    server = CoreServer(settings, RateFeed(reference.load()))
    await server.start()
    assert server.metrics is not None
    try:
        async with grpc.aio.insecure_channel(server.address) as channel:
            yield server.metrics, channel
    finally:
        await server.stop(0)


def scrape(metrics: Metrics) -> Scrape:
    """Returns the samples of a core that has counted."""
    text, _ = render(SERIES, {"0": metrics.snapshot()}, "")
    return parse(text.decode())


async def until(metrics: Metrics, name: str, value: float, **labels: str) -> Scrape:
    """Waits until a series has a value; returns all."""
    async with asyncio.timeout(PROMPTLY):
        while total(samples := scrape(metrics), name, **labels) != value:
            await asyncio.sleep(0.01)
    return samples


def test_the_page_has_the_series() -> None:
    """Each with its type and its labels, and no other."""
    section = PAGE.split("### The series of the core")[1].split("\n### ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", section, re.MULTILINE)

    assert [(name, kind, re.findall(r"`(\w+)`", labels)) for name, kind, labels in rows] == [
        (one.name, one.kind, list(one.labels)) for one in SERIES
    ]


@pytest.mark.parametrize("transport", ["wire", "grpcio"])
async def test_calls_are_counted(transport: TransportName) -> None:
    """By method and status code, with their messages, for each type of call."""
    async with counting(transport) as (metrics, channel):
        converter, greeter = converter_stub(channel), GreeterStub(channel)  # type: ignore[no-untyped-call]  # generated code has no types
        await converter.Convert(EUROS)
        await converter.BatchConvert(each([EUROS, EUROS]))
        assert [reply.rate async for reply in converter.LiveConvert(each([EUROS] * 3))]
        for wrong in (
            greeter.SayHello(HelloRequest()),
            converter.BatchConvert(each([EUROS, ConvertRequest()])),
            health_stub(channel).Check(HealthCheckRequest(service="no.Such")),
        ):
            with pytest.raises(grpc.aio.AioRpcError):
                await wrong
        watching = converter.WatchRates(
            WatchRequest(base_currency="USD", target_currencies=["EUR"])
        )
        await watching.read()
        watched = await until(metrics, "core_watchers", 1)
        watching.cancel()
        samples = await until(metrics, HANDLED, 1, grpc_code="CANCELLED")

    for name, code in (
        ("Convert", "OK"),
        ("LiveConvert", "OK"),
        ("SayHello", "INVALID_ARGUMENT"),
        ("Check", "NOT_FOUND"),
        ("WatchRates", "CANCELLED"),
    ):
        assert total(samples, HANDLED, grpc_method=name, grpc_code=code) == 1, name
        assert total(samples, HANDLED, grpc_method=name) == 1
    for code in ("OK", "INVALID_ARGUMENT"):
        assert total(samples, HANDLED, grpc_method="BatchConvert", grpc_code=code) == 1
    live = {"grpc_method": "LiveConvert", "grpc_type": "bidi_stream"}
    assert total(samples, "grpc_server_msg_received_total", **live) == 3
    assert total(samples, "grpc_server_msg_sent_total", **live) == 3
    assert total(samples, "grpc_server_msg_received_total", grpc_method="BatchConvert") == 4
    assert total(samples, "grpc_server_msg_sent_total", grpc_method="WatchRates") == 1
    assert total(samples, "grpc_server_msg_sent_total", grpc_method="SayHello") == 0
    assert total(samples, "grpc_server_started_total") == total(samples, HANDLED) == 7
    assert total(samples, "grpc_server_handling_seconds_count", grpc_type="unary") == 3
    assert total(watched, "grpc_server_started_total", grpc_method="WatchRates") == 1


async def test_the_process_its_loop_and_its_rates_are_told() -> None:
    """The reference rates are as old as they are."""
    delay = "core_event_loop_delay_seconds"
    async with counting() as (metrics, _), asyncio.timeout(PROMPTLY):
        metrics.loop_delay.start()
        await asyncio.sleep(0)
        time.sleep(0.4)  # noqa: ASYNC251 - it is what is seen
        while not total(samples := scrape(metrics), f"{delay}_count"):
            await asyncio.sleep(0.01)
        metrics.loop_delay.stop()

    assert total(samples, f"{delay}_bucket", le="0.25") < total(samples, f"{delay}_count")
    age = time.time() - reference.load().instant.timestamp()
    assert total(samples, "core_rates_age_seconds") == pytest.approx(age, abs=60)
    assert total(samples, "core_build_info", transport="wire") == 1
    assert total(samples, "core_worker_up") == 1
    for name in (one.name for one in SERIES if one.name.startswith("process_")):
        assert total(samples, name) > 0


@pytest.mark.parametrize("transport", ["wire", "grpcio"])
async def test_the_end_of_its_certificate_is_told(tmp_path: Path, transport: TransportName) -> None:
    """As `cryptography` reads it."""
    folder = made(tmp_path / "tls") / "core"
    file = folder / "certificate.pem"
    end = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc.timestamp()
    files: Any = {"tls_certificate": file, "tls_key": folder / "key.pem"}
    settings = Settings(port=0, transport=transport, metrics_port=0, **files)
    server = CoreServer(settings, RateFeed(reference.load()))
    await server.stop(0)

    assert server.metrics is not None
    assert total(scrape(server.metrics), "core_certificate_expiry_timestamp_seconds") == end


async def test_without_a_port_nothing_is_counted() -> None:
    """And methods are not wrapped."""
    server = CoreServer(Settings(port=0), RateFeed(reference.load()))

    assert server.metrics is None


@pytest.mark.skipif(promtool() is None, reason="no promtool: apt-get install prometheus")
async def test_promtool_finds_nothing_wrong() -> None:
    """After a call."""
    async with counting() as (metrics, channel):
        await converter_stub(channel).Convert(EUROS)
        check(render(SERIES, {"0": metrics.snapshot()}, "")[0])


async def test_the_counts_of_workers_add_up() -> None:
    """Whichever of them answers; one that does not is told of."""
    (port,) = free_ports(1)
    async with core(metrics_port=str(port), workers="2") as running:
        url, calls = f"http://127.0.0.1:{port}/metrics", 12
        for _ in range(calls):
            options = [("grpc.use_local_subchannel_pool", 1)]
            async with grpc.aio.insecure_channel(running.address, options=options) as channel:
                await converter_stub(channel).Convert(EUROS)
        async with httpx.AsyncClient() as client:
            for _ in range(4):
                samples = parse((await client.get(url)).text)
                assert total(samples, "core_worker_up") == 2
                counts = [total(samples, HANDLED, worker=number) for number in (0, 1)]
                assert sum(counts) == calls
                assert all(counts)
        stopped = workers_of(running.process.pid)[0]
        os.kill(stopped, signal.SIGSTOP)
        try:
            async with asyncio.timeout(PROMPTLY), httpx.AsyncClient(timeout=PROMPTLY) as client:
                samples = parse((await client.get(url)).text)
        finally:
            os.kill(stopped, signal.SIGCONT)
        assert total(samples, "core_worker_up", worker="0") == 0
        assert total(samples, HANDLED, worker="1") == counts[1]


REQUESTS = {
    b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n": b"200 OK",
    b"HEAD /metrics HTTP/1.0\r\n\r\n": b"200 OK",
    b"POST /metrics HTTP/1.1\r\nhost: x\r\n\r\n": b"405 Method Not Allowed",
    b"GET / HTTP/1.1\r\nhost: x\r\n\r\n": b"404 Not Found",
    b"junk\r\n\r\n": b"400 Bad Request",
    b"GET /metrics HTTP/1.1\r\nx: %b\r\n\r\n" % (b"y" * 20_000): b"431 Request Header",
}


async def test_the_listener_answers_one_path() -> None:
    """And says what is wrong with other requests."""
    (port,) = free_ports(1)
    async with core(metrics_port=str(port)):
        for request, status in REQUESTS.items():
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            response = await asyncio.wait_for(reader.read(), PROMPTLY)
            writer.close()
            assert response.startswith(b"HTTP/1.1 " + status), request[:40]
            assert (b"grpc_server_started_total" in response) == (
                request[:4] == b"GET " and status == b"200 OK"
            )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken_stops_the_start(workers: str) -> None:
    """In one line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "grpc_core", "--port", "0", "--workers", workers],
            env=os.environ | {"CORE_METRICS_PORT": str(port)},
            cwd=Path(ROOT),
            capture_output=True,
            text=True,
            timeout=PROMPTLY,
        )

    assert ended.returncode == 1
    assert f"core: cannot listen on 127.0.0.1:{port}: Address already in use" in ended.stderr
    assert "Traceback" not in ended.stderr
