"""Feeds in a cluster: their keys are in one slot, the link finds its node, and finds it again."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.feeds.store.port import StoreDownError
from gateway.feeds.store.redis_store import RedisFeedStore
from gateway.feeds.store.rules import (
    FIRST_EPOCH,
    Answer,
    Appended,
    Ask,
    EntryKind,
    Lease,
    NewEntry,
    Trim,
)
from gateway.store.address import read_address
from gateway.store.client import RedisDriver
from tests.feeds.store.replicas import until
from tests.redis_server import RedisServer, cluster_of_one, form_cluster, needs_redis

pytestmark = needs_redis

TRIM = Trim(9, 1000, 60_000)


class Heard:
    """A follower."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def on_entries(self, epoch: bytes, entries: Any) -> None:
        """See `Follower`."""
        self.seen += [each.data for each in entries]

    def on_news(self) -> None:
        """See `Follower`."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A cluster of one node."""
    with cluster_of_one(tmp_path / "cluster") as made:
        form_cluster(made)
        yield made


def store_in(server: RedisServer) -> RedisFeedStore:
    """Returns the store of feeds in a cluster, by the client that the edge has."""
    address = read_address(f"redis+cluster://127.0.0.1:{server.port}")
    driver = RedisDriver(address, None, 10.0, {})
    return RedisFeedStore(driver.connect, b"protoway:feeds:{one}", timeout=10)


def lease_of(answer: Answer) -> Lease:
    """Returns what the leader shows."""
    return Lease(b"me", answer.fence, answer.epoch, 60_000)


async def test_feeds_of_a_cluster_are_read_together(server: RedisServer) -> None:
    """Two feeds, one connection for commands and one that reads both."""
    async with store_in(server) as store:
        await store.wait_until_up()
        heard = Heard()
        for key in (b"first", b"second"):
            ask = Ask(b"me", FIRST_EPOCH, 0, b"%016x" % 5, 60_000)
            answer = await store.lead(key, ask)
            store.follow(key, answer.epoch, 0, heard)
            new = [NewEntry(EntryKind.MESSAGE, key)]
            await store.append(key, lease_of(answer), 0, new, TRIM)
        await until(lambda: sorted(heard.seen) == [b"first", b"second"])


async def test_a_node_that_starts_again_is_found_and_takes_nothing_of_before(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Again and again: an append for the run before is refused, a new epoch begins, and is read.

    No connection is left open, and the log has no traceback.
    """
    async with store_in(server) as store:
        await store.wait_until_up()
        heard, new = Heard(), [NewEntry(EntryKind.MESSAGE, b"new")]
        answer = await store.lead(b"feed", Ask(b"me", FIRST_EPOCH, 0, b"%016x" % 1, 60_000))
        for turn in range(2, 5):
            server.kill()
            with pytest.raises(StoreDownError):
                await store.append(b"feed", lease_of(answer), 0, new, TRIM)
            server.start()
            async with asyncio.timeout(30):
                while True:
                    await store.wait_until_up()
                    with suppress(StoreDownError):
                        late = await store.append(b"feed", lease_of(answer), 0, new, TRIM)
                        break
            assert late.outcome is Appended.LOST
            ask = Ask(b"me", answer.epoch, 0, b"%016x" % turn, 60_000)
            answer = await store.lead(b"feed", ask)
            assert answer.epoch == ask.new_epoch
            store.follow(b"feed", answer.epoch, 0, heard)
            await store.append(b"feed", lease_of(answer), 0, new, TRIM)
            await until(lambda turn=turn: len(heard.seen) == turn - 1)  # type: ignore[misc]
    assert not any(record.exc_info for record in caplog.records)
    gc.collect()  # an open connection would be told of here
