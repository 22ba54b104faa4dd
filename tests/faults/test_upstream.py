"""The upstream hangs, dies, is cut off, or loses its name: everything says so in time, and when it is back.

Before each fault a reader of events is there, whose stream must go on or end with words.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.faults.namespaces import Network, network, why_not
from tests.faults.scene import CONVERT, RATES, Edge, until, watched
from tests.whole import processes
from tests.whole.conftest import free_ports

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

needs_namespaces = pytest.mark.skipif(bool(why_not()), reason=why_not())


@asynccontextmanager
async def away(edge: Edge, status: int, code: str, reason: str, line: str) -> AsyncIterator[None]:
    """Looks that all say that the upstream is away, runs the block, and looks that they take it back.

    Args:
        edge: that is asked.
        status: HTTP status that callers get.
        code: their gRPC status.
        reason: what `/readyz` says.
        line: of the program's log.
    """
    seconds = await edge.says_ready(False)
    print(f"not ready after {seconds:.1f} s,", end=" ")

    async def is_explained() -> bool:
        return reason in await edge.reason()

    await until(is_explained)
    assert line in edge.log.read_text()
    answer = await edge.get(CONVERT)
    assert (answer.status_code, answer.json()["code"]) == (
        status,
        {"UNAVAILABLE": 14, "DEADLINE_EXCEEDED": 4}[code],
    )
    stream = await edge.get(RATES, accept="text/event-stream")
    assert stream.status_code in (status, 503)
    assert await edge.counted("grpc_client_handled_total", grpc_method="Convert", grpc_code=code)

    async def is_logged() -> bool:
        return any(
            (each.get("rpc"), each.get("code")) == ("finance.CurrencyConverter/Convert", code)
            for each in edge.lines()
        )

    await until(is_logged)
    assert (await edge.client.get(f"{edge.http}/livez")).is_success
    yield
    seconds = await edge.says_ready(True)
    print(f"ready {seconds:.1f} s after its return;", end=" ")
    assert (await edge.get(CONVERT)).is_success
    assert "ready again" in edge.log.read_text()


async def test_it_hangs(tmp_path: Path) -> None:
    """A stopped process keeps its connections; its callers' deadlines end their calls."""
    async with processes.core() as core, watched(core.address, tmp_path) as edge:
        await edge.says_ready(True)
        os.kill(core.process.pid, signal.SIGSTOP)
        try:
            async with away(
                edge,
                504,
                "DEADLINE_EXCEEDED",
                "does not answer in time",
                "not ready: the upstream does not answer in time",
            ):
                os.kill(core.process.pid, signal.SIGCONT)
        finally:
            os.kill(core.process.pid, signal.SIGCONT)


async def test_it_is_killed(tmp_path: Path) -> None:
    """Nothing listens any more; then another process does at the same port."""
    (port,) = free_ports(1)
    async with watched(f"127.0.0.1:{port}", tmp_path) as edge:
        async with processes.core(port) as core:
            await edge.says_ready(True)
            await core.kill()
            refused = "connection refused"
            meanwhile = away(edge, 503, "UNAVAILABLE", refused, f"cannot be reached: {refused}")
            await meanwhile.__aenter__()
        async with processes.core(port):
            await meanwhile.__aexit__(None, None, None)


@needs_namespaces
async def test_it_is_cut_off(tmp_path: Path) -> None:
    """No packet goes either way, and nobody says so: neither a reset nor an unreachable host."""
    async with network() as net, core_in(net) as upstream, watched(upstream, tmp_path) as edge:
        await edge.says_ready(True)
        await net.cut()
        async with away(
            edge,
            504,
            "DEADLINE_EXCEEDED",
            "in time",
            "not ready: ",
        ):
            await net.mend()


@needs_namespaces
@pytest.mark.parametrize("kind", ["refuses", "silent"])
async def test_its_name_is_gone(tmp_path: Path, kind: str) -> None:
    """While its connection is lost, the resolver knows it no more, or does not answer at all."""
    (port,) = free_ports(1)
    async with network(resolver=kind) as net:
        net.name("core.test", net.outside)
        upstream = f"core.test:{port}"
        async with watched(upstream, tmp_path, host=net.inside, namespace=net.name_of) as edge:
            async with processes.core(port, host=net.outside) as core:
                await edge.says_ready(True)
                net.name("core.test", None)
                await core.kill()
            seconds = await edge.says_ready(False)
            print(f"not ready after {seconds:.1f} s: {await edge.reason()}", end=" ")
            async with processes.core(port, host=net.outside):
                net.name("core.test", net.outside)
                seconds = await edge.says_ready(True)
                print(f"ready {seconds:.1f} s after its return;", end=" ")
                assert (await edge.get(CONVERT)).is_success


@needs_namespaces
@pytest.mark.parametrize("kind", ["refuses", "silent"])
async def test_it_starts_without_its_name(tmp_path: Path, kind: str) -> None:
    """An edge that never knew its upstream says so too, and finds it when the name is there."""
    (port,) = free_ports(1)
    async with network(resolver=kind) as net, processes.core(port, host=net.outside):
        upstream = f"core.test:{port}"
        async with watched(upstream, tmp_path, host=net.inside, namespace=net.name_of) as edge:
            words = "its name does not resolve"
            async with away(edge, 503, "UNAVAILABLE", words, "not ready: "):
                net.name("core.test", net.outside)


@asynccontextmanager
async def core_in(net: Network) -> AsyncIterator[str]:
    """Runs a core within a network; gives its address."""
    async with processes.core(host=net.inside, namespace=net.name_of) as core:
        yield core.address
