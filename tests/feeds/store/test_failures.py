"""Leaders that halt, and a Redis that halts, dies, and comes back with and without its data."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.feeds.source import Gap
from gateway.feeds.store.port import StoreDownError
from gateway.feeds.store.rules import Appended, Receipt
from gateway.feeds.stored_feed import StoredFeed
from tests.feeds.stage import Reader, Request, Seen, news
from tests.feeds.store.replicas import (
    Gate,
    Replica,
    kept_redis,
    leader_of,
    replica,
    replicas,
    until,
)
from tests.redis_server import RedisServer, needs_redis

pytestmark = needs_redis

RESTARTED = Gap(restarted=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of this test alone."""
    with kept_redis(tmp_path) as made:
        yield made


async def read_to(reader: Reader, last: int) -> list[Seen]:
    """Reads up to a message."""
    got: list[Seen] = []
    while last not in got:
        got += await reader.read()
    return got


async def paused(every: list[Replica]) -> tuple[Replica, Replica]:
    """Halts the leader until another process has taken its feed; returns both.

    The leader goes on to believe that it leads: it is not told, and appends nothing meanwhile.
    """
    old = leader_of(every)
    halted = asyncio.Event()
    send = old.store.append

    async def append(*said: Any, **others: Any) -> Receipt:
        await halted.wait()
        return await send(*said, **others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(old.store, "append", append)
        await until(lambda: any(each.leads for each in every if each is not old))
    asyncio.get_running_loop().call_later(0.05, halted.set)
    return old, leader_of([each for each in every if each is not old])


async def test_the_late_append_of_a_paused_leader_is_refused(server: RedisServer) -> None:
    """Its message reaches nobody, not its own readers either; all are told of the restart once."""
    async with replicas(2, server, lease=1.5) as every:
        readers = [await each.enter("DropOldest") for each in every]
        await until(lambda: any(each.lines for each in every))
        leader_of(every).line.send(news(1))
        for reader in readers:
            assert await reader.read() == [1]
        leader_of(every).line.send(news(666))
        old, new = await paused(every)
        await until(lambda: old.sharing.counts.refused[Appended.STALE])
        new.line.send(news(7), news(8))
        for reader in readers:
            assert await read_to(reader, 8) == [RESTARTED, 7, 8]

        assert old.open_lines == []
        assert len(new.open_lines) == 1
        assert new.sharing.counts.takeovers == 1


async def test_a_paused_leader_loses_nothing_where_the_server_gives_ids(
    server: RedisServer,
) -> None:
    """The next leader asks for what follows the last message that the store has."""
    async with replicas(2, server, lease=1.5) as every:
        readers = [await each.enter("SharedIds") for each in every]
        await until(lambda: any(each.lines for each in every))
        leader_of(every).line.send(news(1))
        for reader in readers:
            assert await reader.read() == [1]
        leader_of(every).line.send(news(2))
        old, new = await paused(every)
        await until(lambda: old.sharing.counts.refused[Appended.STALE])
        assert (await new.line.call.message(Request)).after_id == "id1"
        new.line.send(news(2), news(3))

        for reader in readers:
            assert await read_to(reader, 3) == [2, 3]


@pytest.mark.parametrize("data", [True, False])
@pytest.mark.parametrize("method", ["DropOldest", "SharedIds"])
async def test_a_redis_that_is_soon_back_breaks_a_stream_once(
    server: RedisServer, method: str, *, data: bool
) -> None:
    """Its leader's call goes on; the others are told once, or never where the server gives ids."""
    async with replicas(3, server, lease=20) as every:
        readers = [await each.enter(method) for each in every]
        await until(lambda: any(each.lines for each in every))
        leader = leader_of(every)
        leader.line.send(news(1), news(2))
        for reader in readers:
            await read_to(reader, 2)
        server.kill()
        if not data:
            for file in (server.folder / "appendonlydir").iterdir():
                file.unlink()
        leader.line.send(news(3))
        await asyncio.sleep(0.1)
        server.start()
        leader.line.send(news(4))
        got = [await read_to(reader, 4) for reader in readers]

        assert sum(len(each.lines) for each in every) == 1
        assert got[every.index(leader)] == [3, 4]
        other: list[Seen] = [3, 4] if method == "SharedIds" else [RESTARTED, 3, 4]
        assert [each for each in got if each != [3, 4]] in ([other] * 2, [])
        assert got.count(other) >= 2


async def test_without_redis_each_process_goes_on_alone(server: RedisServer) -> None:
    """Readers are told once that their stream is another one, and once when it is shared again."""
    async with replicas(2, server, lease=1.0) as every:
        readers = [await each.enter("DropOldest") for each in every]
        await until(lambda: any(each.lines for each in every))
        leader = leader_of(every)
        (other,) = (each for each in every if each is not leader)
        leader.line.send(news(1))
        for reader in readers:
            assert await reader.read() == [1]
        server.kill()
        await until(lambda: other.lines)
        leader.line.send(news(2))
        other.line.send(news(12))
        assert await read_to(readers[every.index(leader)], 2) == [2]
        assert await read_to(readers[every.index(other)], 12) == [RESTARTED, 12]
        late = await other.enter("DropOldest", topic="late")
        await until(lambda: len(other.lines) == 2)
        other.line.send(news(5))
        assert await late.read() == [5]
        server.start()
        await until(lambda: first(leader).is_leading or first(other).is_leading)
        now = leader if first(leader).is_leading else other
        await until(lambda: len([*leader.open_lines, *other.open_lines]) == 2)
        line = leader.open_lines[0] if now is leader else other.lines[0]
        line.send(news(30), news(31))
        got = [await read_to(reader, 31) for reader in readers]

        assert sorted(map(len, got)) == [2, 3]
        assert got[every.index(now)] == [30, 31]
        assert [RESTARTED, 30, 31] in got


@asynccontextmanager
async def one_behind_a_gate(server: RedisServer) -> AsyncIterator[tuple[Replica, Replica, Gate]]:
    """Runs two processes around the block; the first one leads, and its way to Redis can be shut."""
    gate = Gate(server.port)
    await gate.open()
    async with replica(server, lease=1.0) as other, replica(gate, lease=1.0) as cut:
        yield cut, other, gate
        await gate.shut()


async def readers_at_two(leader: Replica, other: Replica) -> list[Reader]:
    """Returns a reader of each process, which has the first two messages."""
    readers = [await leader.enter("LastTwo"), await other.enter("LastTwo")]
    await until(lambda: leader.lines)
    leader.line.send(news(1), news(2))
    for reader in readers:
        await read_to(reader, 2)
    return readers


async def test_a_leader_that_was_cut_off_comes_back_to_what_is_new(server: RedisServer) -> None:
    """Its readers are told once, and get nothing again that they had before the cut."""
    async with one_behind_a_gate(server) as (cut, other, gate):
        readers = await readers_at_two(cut, other)
        await gate.shut()
        await until(lambda: first(cut).role == "alone" and other.lines)
        cut.line.send(news(3))
        other.line.send(news(13), news(14))
        assert await read_to(readers[0], 3) == [3]
        assert await read_to(readers[1], 14) == [RESTARTED, 13, 14]
        await gate.open()
        await until(lambda: first(cut).role == "follower")
        other.line.send(news(15))

        assert await read_to(readers[0], 15) == [RESTARTED, 13, 14, 15]
        assert await read_to(readers[1], 15) == [15]


async def test_an_append_whose_answer_was_lost_is_not_read_again(server: RedisServer) -> None:
    """A leader that is cut off shows the message by itself; when it follows, its readers are told once."""
    async with one_behind_a_gate(server) as (cut, other, gate):
        readers = await readers_at_two(cut, other)
        send = cut.store.append

        async def append(*said: Any, **others: Any) -> Receipt:
            await send(*said, **others)
            await gate.shut()
            raise StoreDownError("its answer is lost")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cut.store, "append", append)
            cut.line.send(news(3))
            assert await read_to(readers[1], 3) == [3]
        await until(lambda: first(cut).role == "alone" and other.lines)
        assert await read_to(readers[0], 3) == [3]
        other.line.send(news(13))
        assert await read_to(readers[1], 13) == [RESTARTED, 13]
        await gate.open()
        await until(lambda: first(cut).role == "follower")
        other.line.send(news(14))

        assert await read_to(readers[0], 14) == [RESTARTED, 13, 14]
        assert await read_to(readers[1], 14) == [14]


async def test_a_follower_that_was_cut_off_comes_back_to_what_is_new(server: RedisServer) -> None:
    """Its readers are told once that they have another call, and once that they have the first one again."""
    async with one_behind_a_gate(server) as (cut, other, gate):
        readers = [await other.enter("LastTwo"), await cut.enter("LastTwo")]
        await until(lambda: other.lines)
        other.line.send(news(1), news(2))
        for reader in readers:
            await read_to(reader, 2)
        await gate.shut()
        await until(lambda: cut.lines)
        cut.line.send(news(13))
        other.line.send(news(3))
        assert await read_to(readers[1], 13) == [RESTARTED, 13]
        assert await read_to(readers[0], 3) == [3]
        await gate.open()
        await until(lambda: first(cut).role == "follower")
        other.line.send(news(4))

        assert await read_to(readers[1], 4) == [RESTARTED, 3, 4]
        assert await read_to(readers[0], 4) == [4]


@pytest.mark.parametrize("method", ["DropOldest", "SharedIds"])
async def test_who_comes_back_where_redis_cannot_be_reached_is_told_once(
    server: RedisServer, method: str
) -> None:
    """A process that has not read the reader's last message yet: nothing where the server gives ids."""
    async with one_behind_a_gate(server) as (cut, other, gate):
        ahead, reader = await other.enter(method), await cut.enter(method)
        await until(lambda: other.lines)
        other.line.send(news(1))
        for each in (ahead, reader):
            assert await each.read() == [1]
        await gate.shut()
        other.line.send(news(2))
        assert await ahead.read() == [2]
        coming = asyncio.create_task(cut.enter(method, last_event_id=ahead.ids[-1]))
        await until(lambda: cut.lines)
        if method == "SharedIds":
            assert (await cut.line.call.message(Request)).after_id == "id1"
            cut.line.send(news(2))
        back = await coming
        cut.line.send(news(3))

        told = [] if method == "SharedIds" else [RESTARTED]
        assert await read_to(back, 3) == [*told, 3]


def first(process: Replica) -> StoredFeed:
    """Returns the oldest feed of a process."""
    feed = next(iter(process.feeds._entries))
    assert isinstance(feed, StoredFeed)
    return feed
