"""Processes that share a feed in a real Redis: one call, the same ids, and what happens when one goes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from gateway.feeds.source import Gap, Item
from gateway.transcoding.status import NOT_FOUND, StatusError
from tests.feeds.stage import Request, Seen, news, seen, settled
from tests.feeds.store.replicas import kept_redis, leader_of, replica, replicas, until
from tests.redis_server import RedisServer, needs_redis

pytestmark = needs_redis

RESTARTED = Gap(restarted=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of this test alone."""
    with kept_redis(tmp_path) as made:
        yield made


async def test_one_call_for_all_processes(server: RedisServer) -> None:
    """Readers of three processes get the messages of one call, with the same ids."""
    async with replicas(3, server) as every:
        readers = [await each.enter("DropOldest") for each in every for _ in range(2)]
        await until(lambda: sum(len(each.lines) for each in every) == 1)
        leader_of(every).line.send(news(1), news(2))
        for reader in readers:
            got = await reader.read()
            while len(got) < 2:
                got += await reader.read()
            assert got == [1, 2]

        assert len({tuple(reader.ids) for reader in readers}) == 1
        assert sum(len(each.lines) for each in every) == 1


async def test_other_requests_have_other_calls(server: RedisServer) -> None:
    """Another topic, or another identity, is another feed."""
    async with replicas(2, server) as every:
        for n, each in enumerate(every):
            await each.enter("DropOldest", topic="same")
            await each.enter("DropOldest", topic=f"topic {n}")
            await each.enter("DropOldest", metadata=(("authorization", f"token {n}"),))
        await until(lambda: sum(len(each.lines) for each in every) >= 5)

        assert sum(len(each.lines) for each in every) == 5


async def test_a_reader_resumes_in_another_process(server: RedisServer) -> None:
    """Without loss or duplicate, also in a process that did not read the feed before."""
    async with replicas(2, server) as (first, second):
        reader = await first.enter("DropOldest")
        await until(lambda: first.lines)
        first.line.send(news(1), news(2), news(3))
        got = await reader.read()
        while got[-1] != 3:
            got += await reader.read()
        back = await second.enter("DropOldest", last_event_id=reader.ids[0])

        assert await back.read() == [2, 3]
        first.line.send(news(4))
        assert await back.read() == [4]
        assert not second.lines


async def test_a_reader_that_comes_too_late_is_told_how_many_it_missed(server: RedisServer) -> None:
    """Of six messages four are kept, wherever they are read."""
    async with replicas(2, server) as (first, second):
        reader = await first.enter("DropOldest")
        await until(lambda: first.lines)
        first.line.send(news(1))
        assert await reader.read() == [1]
        first.line.send(*map(news, range(2, 8)))
        got = await reader.read()
        while got[-1] != 7:
            got += await reader.read()
        back = await second.enter("DropOldest", last_event_id=reader.ids[0])

        assert await back.read() == [Gap(missed=2), 4, 5, 6, 7]


async def test_the_newest_of_each_key_is_known_in_every_process(server: RedisServer) -> None:
    """Also where the messages of the key are no longer kept."""
    async with replicas(2, server) as (first, second):
        reader = await first.enter("Conflated")
        await until(lambda: first.lines)
        first.line.send(news(1, "a"), *(news(n, "b") for n in range(2, 9)))
        got = await reader.read()
        while got[-1] != 8:
            got += await reader.read()
        late = await second.enter("Conflated")

        assert await late.read() == [1, 8]


async def test_a_feed_is_led_for_others_when_the_readers_of_its_leader_have_left(
    server: RedisServer,
) -> None:
    """The call goes on: nothing is restarted for who still reads."""
    async with replicas(2, server) as (first, second):
        reader = await first.enter("NoLinger", topic="x")
        other = await first.enter("LastTwo")
        there = await second.enter("LastTwo")
        await until(lambda: len(first.lines) == 2)
        feed = next(f for f in first.feeds._entries if f.policy.linger)
        await until(lambda: feed.is_wanted)
        await other.leave()
        await reader.leave()
        feeds = first.feeds
        timer = feeds._entries[feed].linger_timer
        assert timer is not None
        timer.cancel()
        feeds._close_unless_wanted(feed)  # as the timer of its linger does
        first.lines[1].send(news(1))

        assert await there.read() == [1]
        assert not second.lines


async def test_a_leader_that_leaves_is_followed_at_once(server: RedisServer) -> None:
    """Its reader is told nothing; that of the other process that the call is another one, once."""
    async with replicas(1, server, lease=60) as (second,):
        async with replica(server, lease=60) as first:
            reader = await first.enter("DropOldest")
            there = await second.enter("DropOldest")
            await until(lambda: first.lines)
            first.line.send(news(1))
            assert await there.read() == [1]
            assert await reader.read() == [1]
        await until(lambda: second.lines)
        second.line.send(news(5), news(6))
        got = await there.read()
        while got[-1] != 6:
            got += await there.read()

        assert got == [RESTARTED, 5, 6]


async def test_ids_of_the_server_let_another_leader_go_on(server: RedisServer) -> None:
    """The new leader asks for what follows the last message, and nobody is told anything."""
    async with replica(server) as second:
        async with replica(server) as first:
            await first.enter("SharedIds")
            there = await second.enter("SharedIds")
            await until(lambda: first.lines)
            first.line.send(news(1), news(2))
            got = await there.read()
            while got[-1] != 2:
                got += await there.read()
        await until(lambda: second.lines)
        assert (await second.line.call.message(Request)).after_id == "id2"
        second.line.send(news(3))

        assert await there.read() == [3]


@pytest.mark.parametrize("failure", [None, NOT_FOUND])
async def test_the_end_reaches_every_process(server: RedisServer, failure: int | None) -> None:
    """With its status; a request that comes later has a call of its own."""
    async with replicas(2, server) as (first, second):
        await first.enter("DropOldest")
        there = await second.enter("DropOldest")
        await until(lambda: first.lines)
        first.line.send(news(1))
        assert await there.read() == [1]
        if failure is None:
            first.line.end()
            with pytest.raises(StopAsyncIteration):
                await there.read()
        else:
            first.line.fail(failure)
            with pytest.raises(StatusError) as caught:
                await there.read()
            assert caught.value.code == failure
        back = await second.enter("DropOldest", last_event_id=there.ids[0])
        with pytest.raises((StopAsyncIteration, StatusError)):
            await back.read()
        late = await second.enter("DropOldest")
        await until(lambda: len(first.lines) + len(second.lines) == 2)
        second.line.send(news(9))

        assert await late.read() == [9]


async def test_readers_cost_the_store_nothing(server: RedisServer) -> None:
    """Five messages take a few commands, with one reader in each process or with 40."""
    taken = []
    for count in (1, 40):
        async with replicas(2, server, lease=60) as every:
            for each in every:
                readers = [await each.enter("LastTwo", topic=f"{count}") for _ in range(count)]
            await until(lambda every=every: any(each.lines for each in every))  # type: ignore[misc]
            before = [each.store.commands for each in every]
            for number in range(5):
                leader_of(every).line.send(news(number))
                for reader in readers:
                    assert await reader.read() == [number]
            taken.append([e.store.commands - b for e, b in zip(every, before, strict=True)])

    # five appends, and what ends a blocking read that another feed joins
    assert all(5 <= sum(each) <= 12 for each in taken), taken


async def test_messages_of_one_turn_are_one_write(server: RedisServer) -> None:
    """For each reader of the process that leads, and of one that follows, as without a store."""
    async with replicas(2, server) as every:
        readers = [await each.enter("DropOldest") for each in every]
        await until(lambda: sum(len(each.lines) for each in every) == 1)
        line = leader_of(every).line
        line.send(news(1))
        assert [await reader.read() for reader in readers] == [[1], [1]]
        written: list[list[list[Seen]]] = [[], []]

        def write(writes: list[list[Seen]], items: Sequence[Item]) -> bool:
            writes.append(seen(items))
            return True

        waiting = []
        for reader, writes in zip(readers, written, strict=True):
            reader.source.set_direct_writer(partial(write, writes))
            waiting.append(asyncio.ensure_future(reader.source.__anext__()))
        await settled()
        line.send(news(2), news(3))
        await until(lambda: all(written))

        assert written == [[[2, 3]], [[2, 3]]]
        for each in waiting:
            each.cancel()
        await asyncio.wait(waiting)
