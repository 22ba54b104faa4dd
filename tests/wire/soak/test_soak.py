"""Clients that come, cancel, forget and leave, and servers that are restarted; at the end nothing is left.

In `make test` a short run; `make soak` runs for SOAK_SECONDS. Ours is tried against itself, over TLS too, and
either side of it against grpc.aio.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from grpc import StatusCode, aio

from tests.whole.certificates import made
from tests.wire.faults.leavings import left_behind, objects
from tests.wire.faults.scene import Client
from tests.wire.soak.memory import account, settled, watched
from tests.wire.soak.world import KINDS, World, hurried
from tests.wire.tls import Tls

PAIRINGS = (
    ("wire", "wire", "plain"),
    ("wire", "grpcio", "plain"),
    ("grpcio", "wire", "plain"),
    ("wire", "wire", "tls"),
)
SECONDS = float(os.environ.get("SOAK_SECONDS", "4")) / len(PAIRINGS)
AT_ONCE = 16
CALLS_OF_A_CHANNEL = 50
WARM_UP_SHARE = 0.3
GROWTH_BYTES = 30_000_000
"""What memory may grow by after a warm-up of seconds."""
CALL_BYTES = {"wire": 20.0, "grpcio": 700.0}
"""What a call may leave in the long run; grpc.aio loses some (docs/decisions/0004 and 0016)."""
OF_GRPC = "Internal error from Core"
"""What grpc.aio's `write` says of a connection that is lost."""
ENDS = {StatusCode.CANCELLED, StatusCode.DEADLINE_EXCEEDED, StatusCode.UNAVAILABLE}


@pytest.mark.long
@pytest.mark.timeout(SECONDS * 2 + 120)
@pytest.mark.parametrize(("serving", "calling", "security"), PAIRINGS)
async def test_nothing_is_left(serving: str, calling: str, security: str, tmp_path: Path) -> None:
    """No task, timer, connection or call stays, no call hangs or lies, and memory is where it was."""
    told: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context))
    before, tasks = objects(), asyncio.all_tasks()
    tls = Tls(made(tmp_path)) if security == "tls" else None
    world = World(serving, calling, Random(int(SECONDS)), tls)
    met: Counter[str] = Counter()
    await world.start()
    async with watched():
        await _clients(world, SECONDS * WARM_UP_SHARE, met)
        warm, warm_calls = settled(), sum(met.values())
        await _clients(world, SECONDS * (1 - WARM_UP_SHARE), met)
        resident, held = settled(), account()
    await world.stop()
    restarts = world.restarts
    del world
    left = await left_behind(before, tasks)
    loop.set_exception_handler(None)

    calls = sum(met.values()) - warm_calls
    grown = f"{warm:,} to {resident:,} in {calls:,} calls, {restarts} restarts"
    print(f"\n{calling} to {serving}, {security}: memory {grown}: {dict(sorted(met.items()))}")
    assert left == {}
    assert told == []
    per_call = CALL_BYTES["grpcio" if "grpcio" in (serving, calling) else "wire"]
    assert resident < warm + GROWTH_BYTES + per_call * calls, str(held)


async def _clients(world: World, seconds: float, met: Counter[str]) -> None:
    """Lets clients come and go for so long, and the server be restarted meanwhile."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds

    async def one_after_another() -> None:
        while loop.time() < ends:
            async with world.channel() as channel:
                for _ in range(CALLS_OF_A_CHANNEL):
                    if loop.time() < ends:
                        met[await _outcome(Client(channel), world.random)] += 1

    async def restarts() -> None:
        while loop.time() < ends:
            await asyncio.sleep(world.random.uniform(0.1, 1.0))
            await world.restart()

    await asyncio.gather(restarts(), *(one_after_another() for _ in range(AT_ONCE)))


async def _outcome(client: Client, random: Random) -> str:
    kind = random.choice(KINDS)
    try:
        await kind(client, random)
    except aio.AioRpcError as error:
        late = error.code() is StatusCode.DEADLINE_EXCEEDED and kind is not hurried
        if error.details() == OF_GRPC:
            return f"{kind.__name__}: {OF_GRPC}"
        if late or error.code() not in ENDS:
            raise
        if error.code() is StatusCode.UNAVAILABLE:
            await asyncio.sleep(0.01)
        return f"{kind.__name__}: {error.code().name}"
    except asyncio.CancelledError:
        current = asyncio.current_task()
        assert current is not None
        if current.cancelling():
            raise
        return f"{kind.__name__}: cancelled"
    return kind.__name__
