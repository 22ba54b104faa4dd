"""The scripts of Redis obey the rules: the same steps have the same answers on a server and on paper."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.feeds.store.port import StoreDownError
from gateway.feeds.store.redis_scripts import COMMANDS
from gateway.feeds.store.redis_store import RedisFeedStore
from gateway.feeds.store.rules import FIRST_EPOCH, Ask, Entry, EntryKind, Lease, NewEntry, Trim
from tests.feeds.store.replicas import client_of, kept_redis, until
from tests.feeds.store.simulated import SimulatedStore
from tests.redis_server import needs_redis

pytestmark = needs_redis

LONG = 600_000
"""A lease that does not run out within a test; one of 0 ms has run out at once."""


def _new(random: Random) -> NewEntry:
    kind = random.choices([*EntryKind], [8, 1, 0.2])[0]
    key = random.choice([b"", b"a", b"b:", b"\0c", b"d"])
    return NewEntry(kind, random.randbytes(random.randrange(60)), key, random.choice([b"", b"i"]))


@pytest.mark.parametrize("seed", range(4))
async def test_redis_answers_as_the_rules_do(seed: int, tmp_path: Path) -> None:
    """Leases that end and are taken, stale fences, lost data, trimming, keys, ends."""
    random = Random(seed)
    paper = SimulatedStore()
    trim = Trim(entries=4, bytes=400, milliseconds=LONG)
    with kept_redis(tmp_path) as server:
        async with RedisFeedStore(client_of(server.port), b"test") as redis:
            runs = [redis._run]
            paper.run = redis._run
            leases = [Lease(b"nobody", 7, FIRST_EPOCH, LONG)]
            newest = (FIRST_EPOCH, 0)
            epochs = iter(range(1, 10_000))
            for step in range(300):
                key = random.choice([b"k1", b"k2"])
                what = random.choices(["lead", "append", "leave", "lose"], [4, 8, 1, 0.2])[0]
                if what == "lead":
                    epoch, number = random.choice([newest, (FIRST_EPOCH, 0)])
                    ask = Ask(
                        random.choice([b"p1", b"p2", b"p3"]),
                        epoch,
                        number + random.choice([0, 0, 0, 1]),
                        b"%016x" % (next(epochs) << 40),
                        random.choice([LONG, 0]),
                        fresh=random.random() < 0.5,
                        anew=random.random() < 0.1,
                        keep=LONG,
                    )
                    expected, answer = paper.lead(key, ask), await redis.lead(key, ask)
                    assert answer._replace(wait=0) == expected._replace(wait=0), step
                    assert (answer.wait > 0) is (expected.wait > 0)
                    newest = answer.epoch, answer.number
                    if answer.leads:
                        leases.append(Lease(ask.holder, answer.fence, answer.epoch, ask.lease))
                elif what == "append":
                    lease = random.choice(leases[-3:])
                    new = [_new(random) for _ in range(random.randrange(4))]
                    after = max(0, paper.load(key).number + random.choice([-1, 0, 0, 0, 1]))
                    expected_receipt = paper.append(key, lease, after, new, trim)
                    receipt = await redis.append(key, lease, after, new, trim)
                    assert receipt == expected_receipt, step
                elif what == "leave":
                    lease = random.choice(leases[-3:])
                    left = await redis.leave(key, lease.holder, lease.fence)
                    assert left is paper.leave(key, lease.holder, lease.fence), step
                else:
                    server.kill()
                    server.start()
                    while redis._run in runs or not redis.is_up:
                        with suppress(StoreDownError):
                            await redis.newest(key)
                        await redis.wait_until_up()
                    runs.append(redis._run)
                    paper.run = redis._run
                assert await redis.load(key) == paper.load(key), step
                assert await redis.newest(key) == paper.newest(key), step


async def test_the_user_of_the_page_may_do_what_feeds_need(tmp_path: Path) -> None:
    """With the commands that the page lists, and no others, a feed is led, read and left."""
    page = (Path(__file__).parents[3] / "docs/reference/shared-streams.md").read_text()
    (rules,) = re.findall(
        r"^user protoway on >PASSWORD resetchannels ~protoway:\* (.+)$", page, re.MULTILINE
    )
    assert rules == f"-@all {' '.join(f'+{word}' for word in COMMANDS.split())}"
    heard = Heard()
    with kept_redis(tmp_path) as server:
        server.add_user("protoway", "secret", "~protoway:*", *rules.split())

        def connect() -> Any:
            given: dict[str, Any] = {"username": "protoway", "password": "secret", "protocol": 2}
            return Redis(port=server.port, socket_timeout=None, **given)

        async with RedisFeedStore(connect, b"protoway:feeds") as store:
            ask = Ask(b"me", FIRST_EPOCH, 0, b"%016x" % 5, LONG, keep=LONG)
            answer = await store.lead(b"key", ask)
            unfollow = store.follow(b"key", answer.epoch, 0, heard)
            lease = Lease(b"me", answer.fence, answer.epoch, LONG)
            new = [NewEntry(EntryKind.MESSAGE, b"%d" % n, b"k%d" % n) for n in range(4)]
            await store.append(b"key", lease, 0, new, Trim(2, 1000, LONG))
            await until(lambda: len(heard.entries) == 2)
            assert len((await store.load(b"key")).newest) == 2
            assert await store.newest(b"key") == (answer.epoch, 4)
            assert await store.leave(b"key", b"me", answer.fence)
            await until(lambda: heard.news)
            unfollow()
            assert store.is_up


class Heard:
    """A follower."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.news = 0

    def on_entries(self, epoch: bytes, entries: Sequence[Entry]) -> None:
        """See `Follower`."""
        self.entries += entries

    def on_news(self) -> None:
        """See `Follower`."""
        self.news += 1
