"""Cores with live rates, as processes."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from grpc_core._generated.finance_pb2 import ConvertRequest
from grpc_core.finance.eurofxref import parse
from grpc_core.finance.rates import Snapshot
from grpc_core.finance.target_days import due, quoted_at
from grpc_core.finance.ticker import simulated
from tests.grpc_core.finance.ecb import document
from tests.grpc_core.live.rates_server import rates_server
from tests.grpc_core.loopback import converter_stub, health_stub
from tests.whole import processes
from tests.whole.processes import Running
from tests.worker_processes import workers_of

TODAY = due(datetime.now(UTC))
PERIOD = 0.25
YEN = ConvertRequest(from_currency="USD", to_currency="JPY", amount=1)
WAIT = 40.0
"""Seconds; far more than a start or a fetch takes."""


def expected(tick: int, dollars: str) -> Snapshot:
    """Returns the rates that every core must have at a tick."""
    (day,) = parse(document(TODAY, USD=dollars).encode())
    reference = Snapshot(quoted_at(TODAY), day.per_euro)
    instant = datetime.fromtimestamp(tick * PERIOD, UTC)
    return simulated(reference, seed=0, tick=tick, instant=instant)


async def clients(stack: AsyncExitStack, core: Running, number: int) -> list[Any]:
    """Opens connections of their own to a core; waits until it has rates."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [
        await stack.enter_async_context(grpc.aio.insecure_channel(core.address, options=options))
        for _ in range(number)
    ]
    for channel in channels:
        async with asyncio.timeout(WAIT):
            async for answer in health_stub(channel).Watch(
                HealthCheckRequest(), wait_for_ready=True
            ):
                if answer.status == HealthCheckResponse.SERVING:
                    break
    return [converter_stub(channel) for channel in channels]


async def told(converter: Any, dollars: set[str]) -> str:
    """Asks for a rate, which must be that of its tick; returns which of these dollars it is reckoned from."""
    answer = await converter.Convert(YEN, timeout=WAIT)
    tick = round(datetime.fromisoformat(answer.timestamp).timestamp() / PERIOD)
    rates = {float(expected(tick, each).rate("USD", "JPY")): each for each in dollars}
    assert answer.rate in rates, (answer, rates)
    return rates[answer.rate]


async def test_cores_tell_the_same_live_rates_at_the_same_tick(tmp_path: Path) -> None:
    """Two cores, one with two workers, of which one is killed: each answer is that of its tick.

    When other rates are published, all change; a core that starts while nobody publishes goes on with what
    was kept.
    """
    core = partial(
        processes.core,
        rates="ecb",
        rates_poll="1",
        ticker="on",
        tick_period=str(PERIOD),
        log_level="error",
    )
    first_file, second_file = tmp_path / "first.xml", tmp_path / "second.xml"
    async with AsyncExitStack() as stack, rates_server(document(TODAY, USD="1.1")) as server:
        first = await stack.enter_async_context(
            core(workers="2", rates_url=server.url, rates_file=str(first_file))
        )
        second = await stack.enter_async_context(
            core(rates_url=server.url, rates_file=str(second_file))
        )
        converters = [*await clients(stack, first, 4), *await clients(stack, second, 1)]
        for _ in range(20):
            await asyncio.gather(*(told(each, {"1.1"}) for each in converters))

        os.kill(workers_of(first.process.pid)[0], signal.SIGKILL)
        server.document = document(TODAY, USD="1.2")
        converters = [*await clients(stack, first, 4), *await clients(stack, second, 1)]
        async with asyncio.timeout(WAIT):
            while {await told(each, {"1.1", "1.2"}) for each in converters} != {"1.2"}:
                await asyncio.sleep(0.05)

        await second.kill()
        server.answer = nobody
        third = await stack.enter_async_context(
            core(rates_url=server.url, rates_file=str(second_file))
        )
        for converter in await clients(stack, third, 1):
            await told(converter, {"1.2"})


async def nobody(fields: object, writer: asyncio.StreamWriter) -> None:
    """Closes."""
