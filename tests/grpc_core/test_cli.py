"""The core as a process."""

import json
import os
import queue
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest

from grpc_core._generated.finance_pb2 import ConvertRequest, WatchRequest
from grpc_core.finance import reference
from tests.grpc_core.loopback import converter_stub, health_stub

LONG_GRACE = "100"
PROMPTLY = 30
"""Seconds; far below the grace, so that a process that waits for it is noticed."""

Core = subprocess.Popen[str]
Start = Callable[..., Core]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts cores with flags and settings, and ends those that are left over."""
    started: list[Core] = []

    def start(*flags: str, **settings: str) -> Core:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("CORE_")}
        core = subprocess.Popen(
            [sys.executable, "-m", "grpc_core", *flags],
            env=inherited | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(core)
        return core

    yield start
    for core in started:
        core.kill()
        core.communicate()


def address_of(core: Core) -> str:
    """Waits until a core serves, which is said in two lines, and returns where."""
    assert core.stdout
    line = core.stdout.readline()
    assert line.startswith("core: serving gRPC on 127.0.0.1:"), line or core.communicate()
    assert core.stdout.readline().startswith("core: finance.CurrencyConverter, finance.v2.")
    return line.split()[-1]


def test_rates_stand_still_without_the_ticker(start: Start) -> None:
    """With the ticker off, rates are the reference rates, and a watch is silent but open."""
    core = start("--port", "0", CORE_TICKER="off")
    with grpc.insecure_channel(address_of(core)) as channel:
        converter = converter_stub(channel)
        reply = converter.Convert(ConvertRequest(from_currency="EUR", to_currency="USD", amount=1))
        watch = converter.WatchRates(WatchRequest(base_currency="EUR", target_currencies=["USD"]))
        rate = next(watch).rate
        core.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.RpcError):
            next(watch)
    _, log = core.communicate(timeout=PROMPTLY)

    rates = reference.load()
    assert reply.rate == rate == float(rates.per_euro["USD"])
    assert reply.timestamp == f"{rates.instant:%Y-%m-%dT%H:%M:%SZ}"
    said = f"reference rates of {rates.instant.date()}: {len(rates.per_euro)} currencies"
    assert f"rates are the ECB {said}" in log
    assert "SIMULATED" not in log


def test_ticks_are_said_to_be_simulated(start: Start) -> None:
    """The log says that rates that move are not the market's."""
    core = start("--port", "0", CORE_TICK_PERIOD="0.01")
    with grpc.insecure_channel(address_of(core)) as channel:
        request = WatchRequest(base_currency="EUR", target_currencies=["USD"])
        watch = converter_stub(channel).WatchRates(request)
        rates = [next(watch).rate for _ in range(3)]
        watch.cancel()
    core.terminate()
    _, log = core.communicate(timeout=PROMPTLY)

    assert rates[0] != rates[1] != rates[2]
    assert f"SIMULATED around the ECB reference rates of {reference.load().instant.date()}" in log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_promptly(start: Start, number: signal.Signals) -> None:
    """An open WatchRates is told, and does not hold up the end; the exit status is 0."""
    core = start("--port", "0", CORE_SHUTDOWN_GRACE=LONG_GRACE)
    with grpc.insecure_channel(address_of(core)) as channel:
        watch = converter_stub(channel).WatchRates(WatchRequest(base_currency="EUR"))
        next(watch)
        core.send_signal(number)
        with pytest.raises(grpc.RpcError) as caught:
            list(watch)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert caught.value.details() == "server is shutting down"
        out, log = core.communicate(timeout=PROMPTLY)

    assert core.returncode == 0
    assert json.loads(out)["ended_by"] == "shutdown"
    assert "Traceback" not in log


def test_a_second_signal_forces_it(start: Start) -> None:
    """A call that does not end is waited for, until a second signal cuts it."""
    core = start("--port", "0", CORE_SHUTDOWN_GRACE=LONG_GRACE)
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with grpc.insecure_channel(address_of(core)) as channel:
        live = converter_stub(channel).LiveConvert(iter(requests.get, None))
        requests.put(ConvertRequest(from_currency="EUR", to_currency="USD", amount=1))
        next(live)
        health = health_stub(channel).Watch(HealthCheckRequest())
        next(health)

        core.terminate()
        next(health)
        assert core.poll() is None
        core.terminate()
        _, log = core.communicate(timeout=PROMPTLY)
        requests.put(None)

    assert core.returncode == 0
    assert "Traceback" not in log


def test_it_takes_as_many_connections_as_the_system_allows(start: Start) -> None:
    """The usual soft limit, of 1,024 files, is no limit of clients."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        core = start("--port", "0")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    host, _, port = address_of(core).rpartition(":")

    assert resource.prlimit(core.pid, resource.RLIMIT_NOFILE) == (hard, hard)
    with ExitStack() as clients:
        for _ in range(300):
            clients.enter_context(socket.create_connection((host, int(port))))
        with grpc.insecure_channel(f"{host}:{port}") as channel:
            health_stub(channel).Check(HealthCheckRequest(), timeout=PROMPTLY)


def test_a_port_that_is_taken_is_one_line(start: Start) -> None:
    """The line names the address and the reason; the exit status is 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        core = start("--port", str(port))
        out, log = core.communicate(timeout=PROMPTLY)

    assert core.returncode == 1
    assert out == ""
    assert log == (
        f"core: cannot listen on 127.0.0.1:{port}: Address already in use; "
        "stop what listens there, or set another port (0: a free one)\n"
    )


def test_a_wrong_setting_is_one_line(start: Start) -> None:
    """The line names what is wrong, as it was given; the exit status is 2."""
    core = start("--port", "99999", CORE_PORT="1", CORE_TICKER="perhaps")
    out, log = core.communicate(timeout=PROMPTLY)

    assert core.returncode == 2
    assert out == ""
    assert log == (
        "core: --port: Input should be less than or equal to 65535, got '99999'; "
        "CORE_TICKER: Input should be 'auto', 'on' or 'off', got 'perhaps'\n"
    )
