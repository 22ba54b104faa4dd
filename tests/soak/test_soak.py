"""Clients of all kinds, over both versions of HTTP and every wire, that join, leave and die at random.

At the end nothing of them is left.

In `make test` a short run; `make soak` runs for SOAK_SECONDS. All is in this process, so that every task
can be looked at.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter
from random import Random

import pytest

from tests.soak import clients, clients_rpc
from tests.soak.system import System, running_system

SECONDS = float(os.environ.get("SOAK_SECONDS", "4"))
AT_ONCE = 40
WARM_UP_SHARE = 0.3
GROWTH_BYTES = 30_000_000
"""What memory may grow by after a warm-up of seconds."""
CLIENT_BYTES = 700
"""What grpc.aio loses with a client, on average: about 2 kB with each unary call that is cancelled. A program
of grpc's alone loses as much, and no Python object is left (docs/decisions/0004)."""
SETTLE_SECONDS = 30


@pytest.mark.timeout(SECONDS + 120)
async def test_nothing_is_left() -> None:
    """No task, call, feed or file descriptor stays behind, and memory is where it was."""
    random = Random(int(SECONDS))
    met: Counter[str] = Counter()
    async with running_system() as system:
        await _clients(system, random, SECONDS * WARM_UP_SHARE, met)
        await _settled(system)
        before = system.resident()
        warm = sum(met.values())
        await _clients(system, random, SECONDS * (1 - WARM_UP_SHARE), met)
        left = await _settled(system)
        after = system.resident()

    print(f"{sum(met.values())} clients, memory {before:,} to {after:,}: {dict(met)}")
    assert left == {}
    clients = sum(met.values()) - warm
    assert after < before + GROWTH_BYTES + CLIENT_BYTES * clients
    assert not [outcome for outcome in met if outcome.startswith("wrong")]


async def _clients(system: System, random: Random, seconds: float, met: Counter[str]) -> None:
    """Lets clients come and go for so long."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds

    async def one_after_another() -> None:
        while loop.time() < ends:
            kind = random.choice((*clients.KINDS, *clients_rpc.KINDS))
            met[await kind(system, random)] += 1

    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))


async def _settled(system: System) -> dict[str, object]:
    """Waits until nothing is left; returns what is, if it stays."""
    left: dict[str, object] = {}
    for _ in range(SETTLE_SECONDS * 10):
        gc.collect()
        left = system.left()
        if not left:
            break
        await asyncio.sleep(0.1)
    return left
