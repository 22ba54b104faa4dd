"""How often a process asks for a store that is away."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.feeds.store import redis_store
from gateway.feeds.store.redis_store import RedisFeedStore
from grpc_wire.client.backoff import jittered
from tests.feeds.store.replicas import until

ATTEMPTS = 20


class NoServer:
    """A client of the package `redis` that connects to nobody."""

    def __init__(self) -> None:
        self.connection_pool = self

    async def get_connection(self) -> Any:
        """Refuses, as a port without a server does."""
        raise ConnectionRefusedError

    async def aclose(self) -> None:
        """Has nothing to close."""


async def test_a_store_is_found_within_a_second_however_long_it_was_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Delays grow to one second and no further, with jitter: a lease, by default, is three."""
    delays: list[float] = []

    def noted(delay: float) -> float:
        delays.append(jittered(delay))
        return 0.0

    monkeypatch.setattr(redis_store, "jittered", noted)
    async with RedisFeedStore(NoServer, b"test", timeout=0.1):
        await until(lambda: len(delays) >= 2 * ATTEMPTS)

    assert max(delays[:4]) <= 0.1 * 1.6 * 1.2
    late = delays[-10:]
    assert all(0.8 <= delay <= 1.2 for delay in late)
    assert len(set(late)) > 1
