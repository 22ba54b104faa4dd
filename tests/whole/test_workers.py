"""An edge and a core with two workers each: who is led to which, and what becomes of them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, aclosing, asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

import gateway.cli
import grpc_core.cli
from gateway.listening import listen_for_workers
from gateway.settings import Settings
from grpc_core._generated.finance_pb2 import ConvertRequest, WatchRequest
from grpc_core.address import ListenError, reserve
from grpc_core.finance import reference
from grpc_core.finance.ticker import simulated
from tests.contracts import echo_descriptor_set
from tests.echo_server import EchoServer, echo_server
from tests.grpc_core.loopback import converter_stub
from tests.whole import processes
from tests.whole.conftest import ROOT, Demo
from tests.whole.event_stream import EventSource
from tests.whole.processes import Running
from tests.worker_processes import clients_of, ended, workers_of

READERS = 20
RATES = "/rates/USD?target_currencies=EUR"
NOBODY = "127.0.0.1:9"
PROMPTLY = 30


def client_of(edge: Running, *, kept: int | None = None) -> httpx.AsyncClient:
    """Makes a client without TLS, which keeps as many connections as is said."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=kept)
    return httpx.AsyncClient(base_url=edge.http, timeout=PROMPTLY, limits=limits, verify=False)


@asynccontextmanager
async def clients_of_each(edge: Running) -> AsyncIterator[dict[int, httpx.AsyncClient]]:
    """Connects until both workers have a client; it has one connection, which is kept."""
    clients: dict[int, httpx.AsyncClient] = {}
    async with AsyncExitStack() as stack:
        while len(clients) < 2:
            client = await stack.enter_async_context(client_of(edge))
            clients.setdefault(await worker_of(edge, await client.get("/healthz")), client)
        yield clients


async def worker_of(edge: Running, answer: httpx.Response) -> int:
    """Returns the process that has given an answer, whose connection is still open."""
    port = answer.extensions["network_stream"].get_extra_info("client_addr")[1]
    for worker in workers_of(edge.process.pid):
        if port in clients_of(worker, edge.port):
            return worker
    raise AssertionError("an answer from nowhere")


def held_by_each(program: Running) -> dict[int, set[int]]:
    """Returns the ports of the clients of each worker."""
    return {w: clients_of(w, program.port) for w in workers_of(program.process.pid)}


@asynccontextmanager
async def converters_of_each(core: Running) -> AsyncIterator[dict[int, Any]]:
    """Connects until both workers have a client."""
    converters: dict[int, Any] = {}
    async with AsyncExitStack() as stack:
        while len(converters) < 2:
            before = held_by_each(core)
            channel = await stack.enter_async_context(
                grpc.aio.insecure_channel(
                    core.address, options=[("grpc.use_local_subchannel_pool", 1)]
                )
            )
            await asyncio.wait_for(channel.channel_ready(), PROMPTLY)
            for worker, clients in held_by_each(core).items():
                if clients - before.get(worker, set()):
                    converters.setdefault(worker, converter_stub(channel))
        yield converters


async def test_a_worker_of_the_edge_dies_and_then_its_parent() -> None:
    """The other goes on; nobody who connects meanwhile is refused; without the parent all end."""
    async with processes.edge(NOBODY, workers="2") as edge:
        async with clients_of_each(edge) as clients:
            (dead, _), (alive, client) = clients.items()
            os.kill(dead, signal.SIGKILL)
            assert await worker_of(edge, await client.get("/healthz")) == alive
            async with client_of(edge, kept=0) as stranger:
                for _ in range(READERS):
                    assert (await stranger.get("/healthz")).status_code == httpx.codes.OK
        async with clients_of_each(edge) as clients:
            assert dead not in clients
            assert alive in clients
        await edge.kill()

        assert ended(clients)
        socket.create_server(("127.0.0.1", edge.port)).close()


async def test_a_reader_comes_back_to_the_other_worker(demo: Demo) -> None:
    """Its ids are not known there: it is told that the stream has restarted, and given others."""
    async with (
        processes.edge(demo.core, workers="2") as edge,
        clients_of_each(edge) as clients,
    ):
        one, other = (EventSource(client, f"{edge.http}{RATES}") for client in clients.values())
        async with aclosing(one.events()) as events:
            first = await anext(events)
        other.last_id = first.id
        async with aclosing(other.events()) as events:
            gap, second = await anext(events), await anext(events)

    assert first.kind == second.kind == "message"
    assert (gap.kind, gap.data) == ("gap", {"restarted": True})
    assert second.id.partition("-")[0] != first.id.partition("-")[0]


async def test_readers_on_both_workers_are_told_of_the_end(demo: Demo) -> None:
    """Though parent and workers are all sent the signal; the exit status is 0."""
    started = asyncio.Barrier(READERS + 1)

    async def read(client: httpx.AsyncClient) -> str:
        body = ""
        headers = {"accept": "text/event-stream"}
        async with client.stream("GET", RATES, headers=headers) as answer:
            async for text in answer.aiter_text():
                if not body:
                    await started.wait()
                body += text
        return body

    async with (
        processes.edge(demo.core, workers="2") as edge,
        client_of(edge) as client,
        asyncio.TaskGroup() as tasks,
    ):
        workers = workers_of(edge.process.pid)
        reading = [tasks.create_task(read(client)) for _ in range(READERS)]
        await started.wait()
        assert all(clients_of(worker, edge.port) for worker in workers)
        for pid in (edge.process.pid, *workers):
            os.kill(pid, signal.SIGTERM)
        await asyncio.wait_for(edge.process.wait(), PROMPTLY)

    assert all("\nevent: error\ndata: " in task.result() for task in reading)
    assert edge.process.returncode == 0
    assert ended(workers)


class SlowServer(EchoServer):
    """A server that answers when the test says so."""

    released = asyncio.Event()

    async def hang(self, _request: bytes, _context: Any) -> bytes:
        """Waits for the test."""
        self.started.set()
        await self.released.wait()
        return b""


async def test_a_signal_to_a_worker_that_drains_cuts_nothing(tmp_path: Path) -> None:
    """An answer under way is still given; systemd, say, sends a signal to all that a unit has."""
    contract = tmp_path / "echo.binpb"
    contract.write_bytes(echo_descriptor_set())
    async with (
        echo_server(SlowServer) as server,
        processes.edge(server.address, descriptor_set=contract, workers="2") as edge,
        client_of(edge) as client,
        asyncio.TaskGroup() as tasks,
    ):
        answer = tasks.create_task(client.get("/v1/hang"))
        await server.started.wait()
        workers = held_by_each(edge)
        edge.process.terminate()
        while listens(edge.port):
            await asyncio.sleep(0.01)
        for worker, clients in workers.items():
            if clients:
                os.kill(worker, signal.SIGTERM)
        await asyncio.sleep(0.2)  # what it must not do, it would do within this
        SlowServer.released.set()

    assert answer.result().status_code == httpx.codes.OK


def listens(port: int) -> bool:
    """Whether anybody listens on a port."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


async def test_cores_and_their_workers_tell_the_same_rates() -> None:
    """Each tick has one rate, whichever worker is asked, one that has replaced another, or another core."""
    request = ConvertRequest(from_currency="USD", to_currency="JPY", amount=1)
    rates, period = reference.load(), 0.5
    told: set[str] = set()

    async def ask(converter: Any) -> str:
        """Asks for the rate, and checks that it is that of the tick which the answer says."""
        answer = await converter.Convert(request, timeout=PROMPTLY)
        instant = datetime.fromisoformat(answer.timestamp)
        tick = round(instant.timestamp() / period)
        expected = simulated(rates, seed=0, tick=tick, instant=instant).rate("USD", "JPY")
        assert answer.rate == float(expected)
        return str(answer.timestamp)

    async def agree(*converters: Any) -> None:
        """Asks all until two of them have told of the same tick."""
        async with asyncio.timeout(PROMPTLY):
            while len(answers := [await ask(each) for each in converters]) == len({*answers}):
                await asyncio.sleep(0.01)
        told.update(answers)

    core = partial(processes.core, tick_period=str(period), log_level="error")
    async with core(workers="2") as first, core() as second:
        async with (
            converters_of_each(first) as converters,
            grpc.aio.insecure_channel(second.address) as channel,
        ):
            (dead, one), (_, other) = converters.items()
            await agree(one, other)
            await agree(one, converter_stub(channel))
            os.kill(dead, signal.SIGKILL)
        async with converters_of_each(first) as converters:
            assert dead not in converters
            await agree(*converters.values())
        await first.kill()

        assert ended(converters)
        socket.create_server(("127.0.0.1", first.port)).close()


async def test_watchers_on_both_workers_are_told_of_the_end() -> None:
    """In both processes at once, long before the grace is over; the exit status is 0."""
    async with (
        processes.core(workers="2", shutdown_grace="100", log_level="error") as core,
        converters_of_each(core) as converters,
    ):
        request = WatchRequest(base_currency="EUR", target_currencies=["USD"])
        watches = [converter.WatchRates(request) for converter in converters.values()]
        for watch in watches:
            await watch.read()
        core.process.terminate()
        for watch in watches:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                while await watch.read():
                    pass
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert caught.value.details() == "server is shutting down"
        await asyncio.wait_for(core.process.wait(), PROMPTLY)

    assert core.process.returncode == 0
    assert ended(converters)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_shared_by_others_is_taken(
    workers: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers share their port among themselves; who wants it too is told in one line, with status 1."""
    for program in (gateway.cli, grpc_core.cli):  # the logs of this process stay as they are
        monkeypatch.setattr(program, "configure_logs", lambda *_: None)
    contract = str(processes.DESCRIPTOR_SET)
    with ExitStack() as stack:
        settings = Settings(descriptor_set=processes.DESCRIPTOR_SET, port=0, workers=2)
        for (listening,) in listen_for_workers(settings, 2):
            port = stack.enter_context(listening).getsockname()[1]
        asked = ("--port", str(port), "--workers", workers)

        assert gateway.cli.main(["serve", "--descriptor-set", contract, *asked]) == 1
        assert grpc_core.cli.main(asked) == 1
    reason = (
        f"cannot listen on 127.0.0.1:{port}: Address already in use; stop what listens there, or "
    )
    lines = capfd.readouterr().err.splitlines()
    assert [line.partition(reason)[:2] for line in lines] == [
        ("protoway: ", reason),
        ("core: ", reason),
    ]


def test_a_port_that_is_reserved_is_taken() -> None:
    """Nobody slips in while no worker of the core listens; but its workers do, more than once."""
    with reserve("localhost", 0) as port:
        with pytest.raises(ListenError, match="Address already in use"), reserve("127.0.0.1", port):
            pass
        for _ in range(2):
            socket.create_server(("127.0.0.1", port), reuse_port=True).close()


def test_what_is_wrong_with_all_workers_is_said_once(tmp_path: Path) -> None:
    """The core's workers read certificates; the exit status is 1."""
    missing = str(tmp_path / "missing.pem")
    core = subprocess.run(
        [sys.executable, "-m", "grpc_core", "--port", "0", "--workers", "3"],
        cwd=ROOT,
        env=os.environ
        | {"CORE_TLS_CERTIFICATE": missing, "CORE_TLS_KEY": missing, "CORE_LOG_LEVEL": "error"},
        capture_output=True,
        text=True,
        timeout=PROMPTLY,
    )

    assert core.stderr == f"core: cannot read {missing}: No such file or directory\n"
    assert core.returncode == 1
