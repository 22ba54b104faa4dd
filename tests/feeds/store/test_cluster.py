"""Feeds in a cluster: their keys are in one slot, and the link finds its node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from redis.asyncio import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.feeds.store.redis_store import RedisFeedStore
from gateway.feeds.store.rules import FIRST_EPOCH, Ask, EntryKind, Lease, NewEntry, Trim
from tests.feeds.store.replicas import until
from tests.redis_server import cluster_of_one, form_cluster, needs_redis


class Heard:
    """A follower."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def on_entries(self, epoch: bytes, entries: Any) -> None:
        """See `Follower`."""
        self.seen += [each.data for each in entries]

    def on_news(self) -> None:
        """See `Follower`."""


@needs_redis
async def test_feeds_of_a_cluster_are_read_together(tmp_path: Path) -> None:
    """Two feeds, one connection for commands and one that reads both."""
    with cluster_of_one(tmp_path / "cluster") as server:
        form_cluster(server)

        def connect() -> Any:
            return RedisCluster(
                host="127.0.0.1",
                port=server.port,
                protocol=2,
                retry=Retry(NoBackoff(), 0),
                socket_timeout=None,
            )

        async with RedisFeedStore(connect, b"protoway:feeds:{one}", timeout=10) as store:
            heard = Heard()
            for key in (b"first", b"second"):
                ask = Ask(b"me", FIRST_EPOCH, 0, b"%016x" % 5, 60_000)
                answer = await store.lead(key, ask)
                store.follow(key, answer.epoch, 0, heard)
                lease = Lease(b"me", answer.fence, answer.epoch, 60_000)
                new = [NewEntry(EntryKind.MESSAGE, key)]
                await store.append(key, lease, 0, new, Trim(9, 1000, 60_000))
            await until(lambda: sorted(heard.seen) == [b"first", b"second"])
